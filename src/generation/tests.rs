//! Transitions one by one, and any sequence of them.

use proptest::prelude::*;

use super::*;

fn system(index: u8) -> StorePath {
    let digit = char::from(b'0' + index);
    StorePath::from_base_name(&format!("{}-system-a", digit.to_string().repeat(32))).unwrap()
}

fn new(index: u8) -> Generation {
    Generation {
        system: system(index),
        registered_seconds: u64::from(index),
        by: "me\nyou".into(),
        commit: Some("abc".into()),
        pinned: false,
        verdict: Verdict::New,
    }
}

fn nonce(index: u8) -> Nonce {
    Nonce::new(&format!("{index:032x}")).unwrap()
}

fn number(value: u32) -> GenerationNumber {
    GenerationNumber::new(value).unwrap()
}

fn trial(of: u32, previous: u32, attempt: u8) -> Trial {
    Trial {
        number: number(of),
        nonce: nonce(attempt),
        previous: number(previous),
        level: Level::Live,
        window_seconds: 30,
        outside: true,
    }
}

/// A host on generation 1 with generation 2 registered.
fn two() -> Generations {
    let mut state = Generations::of_image(system(1), 0);
    assert_eq!(state.register(new(2)), Ok(number(2)));
    state
}

#[test]
fn a_trial_is_kept_only_by_its_own_attempt() {
    let mut state = two();
    state.try_out(trial(2, 1, 7), false).unwrap();
    assert_eq!(state.default(), Some(number(1)), "a trial does not change the default");
    let other = state.confirm(&nonce(8)).unwrap_err();
    assert_eq!(
        other.to_string(),
        "attempt 00000000000000000000000000000008 is not the one that waits; \
         that is 00000000000000000000000000000007"
    );
    assert_eq!(state.confirm(&nonce(7)), Ok(number(2)));
    assert_eq!(state.default(), Some(number(2)));
    assert_eq!(state.confirm(&nonce(7)), Err(GenerationError::NoTrial), "a nonce serves once");
}

#[test]
fn what_failed_is_remembered_and_not_tried_again_unless_asked() {
    let mut state = two();
    state.try_out(trial(2, 1, 7), false).unwrap();
    assert_eq!(state.fail(&nonce(7), "no\nanswer"), Ok(number(1)));
    assert_eq!(state.default(), Some(number(1)));
    assert_eq!(state.register(new(2)), Ok(number(2)), "the same system is the same generation");
    let error = state.try_out(trial(2, 1, 8), false).unwrap_err();
    assert_eq!(error.to_string(), "generation 2 failed before: no answer");
    state.try_out(trial(2, 1, 8), true).unwrap();
    assert_eq!(state.confirm(&nonce(8)), Ok(number(2)));
}

#[test]
fn a_rollback_goes_only_to_what_proved_itself() {
    let mut state = two();
    assert_eq!(state.rollback_target(None), Err(GenerationError::NothingBefore));
    let unproven = GenerationError::Unproven(number(2));
    assert_eq!(state.rollback_target(Some(number(2))), Err(unproven.clone()));
    assert_eq!(state.set_default(number(2)), Err(unproven));
    state.try_out(trial(2, 1, 7), false).unwrap();
    state.confirm(&nonce(7)).unwrap();
    state.register(new(3)).unwrap();
    state.try_out(trial(3, 2, 8), false).unwrap();
    state.fail(&nonce(8), "bad").unwrap();
    assert_eq!(state.rollback_target(None), Ok(number(1)));
    state.set_default(number(1)).unwrap();
    assert_eq!(state.default(), Some(number(1)));
    // The one rolled back from was good; failing now does not make it bad.
    state.try_out(trial(2, 1, 9), false).unwrap();
    state.fail(&nonce(9), "now").unwrap();
    assert_eq!(state.get(number(2)).unwrap().verdict, Verdict::Good);
}

#[test]
fn only_one_is_on_trial() {
    let mut state = two();
    state.register(new(3)).unwrap();
    state.try_out(trial(2, 1, 7), false).unwrap();
    let error = state.try_out(trial(3, 1, 8), false).unwrap_err();
    assert!(error.to_string().starts_with("generation 2 is on trial, by "), "{error}");
    assert!(matches!(state.set_default(number(1)), Err(GenerationError::OnTrial { .. })));
    state.withdraw(&nonce(7)).unwrap();
    assert_eq!(state.get(number(2)).unwrap().verdict, Verdict::New);
    state.try_out(trial(3, 1, 8), false).unwrap();
}

#[test]
fn collecting_keeps_what_may_be_needed() {
    let mut state = Generations::of_image(system(0), 0);
    for index in 1..8 {
        let of = state.register(new(index)).unwrap();
        state.try_out(trial(of.get(), 1, index), false).unwrap();
        if index == 4 || index == 7 {
            state.fail(&nonce(index), "bad").unwrap();
        } else {
            state.confirm(&nonce(index)).unwrap();
        }
    }
    state.set_pinned(number(2), true).unwrap();
    let gone = state.collect(2, &BTreeSet::from([system(0)]));
    let gone: Vec<u32> = gone.keys().map(|number| number.get()).collect();
    // 1 runs, 2 is pinned, 6 and 7 are the newest good ones, 8 is bad and newer than the default.
    assert_eq!(gone, [3, 4, 5]);
    assert_eq!(state.default(), Some(number(7)));
    assert_eq!(state.register(new(4)), Ok(number(9)), "numbers are not used again");
}

#[test]
fn the_history_has_an_end() {
    let mut state = two();
    state.next = u32::MAX;
    assert_eq!(state.register(new(3)), Err(GenerationError::Full));
    assert_eq!(state.register(new(2)), Ok(number(2)));
}

#[test]
fn the_text_is_the_state() {
    let mut state = two();
    state.register(new(3)).unwrap();
    state.try_out(trial(3, 1, 6), false).unwrap();
    state.fail(&nonce(6), "x").unwrap();
    state.try_out(trial(2, 1, 7), false).unwrap();
    let text = state.to_text();
    assert_eq!(Generations::parse(text.as_bytes()).unwrap(), state);
    assert!(text.contains("\"by\": \"me you\""), "one line each: {text}");
}

#[test]
fn damaged_texts_are_told_from_states() {
    let check = |from: &str, to: &str, expected: &str| {
        let text = two().to_text();
        assert!(text.contains(from), "{from} in {text}");
        let error = Generations::parse(text.replace(from, to).as_bytes()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    };
    check("\"format\": 1", "\"format\": 2, \"more\": 1", "has format 2; this program knows 1");
    check("\"default\": 1", "\"default\": 2", "the default has not proved itself");
    check("\"default\": 1", "\"default\": 5", "the default is not among");
    check("\"default\": 1", "\"default\": 0", "number 0");
    check("\"next\": 3", "\"next\": 2", "newer than the next");
    check("\"number\": 2", "\"number\": 1", "twice");
    check("\"number\": 2,", "\"number\": 2, \"odd\": 1,", "not valid JSON");
    check("\"verdict\": \"new\"", "\"verdict\": \"maybe\"", "a verdict is none");
    check("-system-a", "", "store path");
    check("\"trial\": null", "\"trial\": {}", "not valid JSON");
    assert!(Generations::parse(b"").is_err());
    assert!(Generations::parse(&vec![b'['; 100_000]).is_err());
}

/// What may be asked of a state.
#[derive(Debug, Clone)]
enum Ask {
    Register(u8),
    Try(u32, u32, u8, bool),
    Confirm(u8),
    Fail(u8),
    Withdraw(u8),
    SetDefault(u32),
    Rollback,
    Pin(u32, bool),
    Collect(usize, Option<u8>),
    Reread,
}

fn asks() -> impl Strategy<Value = Vec<Ask>> {
    let index = 0_u8..6;
    let of = 1_u32..8;
    let ask = prop_oneof![
        index.clone().prop_map(Ask::Register),
        (of.clone(), of.clone(), 0_u8..3, any::<bool>())
            .prop_map(|(a, b, c, d)| Ask::Try(a, b, c, d)),
        (0_u8..3).prop_map(Ask::Confirm),
        (0_u8..3).prop_map(Ask::Fail),
        (0_u8..3).prop_map(Ask::Withdraw),
        of.clone().prop_map(Ask::SetDefault),
        Just(Ask::Rollback),
        (of, any::<bool>()).prop_map(|(a, b)| Ask::Pin(a, b)),
        (0_usize..3, proptest::option::of(index)).prop_map(|(a, b)| Ask::Collect(a, b)),
        Just(Ask::Reread),
    ];
    proptest::collection::vec(ask, 0..60)
}

proptest! {
    /// Whatever happens in whatever order: the default is there and good, and a trial becomes the
    /// default only by a confirmation of its own attempt.
    #[test]
    fn no_sequence_leaves_the_host_without_a_good_default(asks in asks()) {
        let mut state = Generations::of_image(system(0), 0);
        for ask in asks {
            let before = state.clone();
            let mut confirmed = None;
            match ask {
                Ask::Register(index) => { let _refused = state.register(new(index)); }
                Ask::Try(of, previous, attempt, again) => {
                    let _refused = state.try_out(trial(of, previous, attempt), again);
                }
                Ask::Confirm(attempt) => confirmed = state.confirm(&nonce(attempt)).ok(),
                Ask::Fail(attempt) => { let _refused = state.fail(&nonce(attempt), "why"); }
                Ask::Withdraw(attempt) => { let _refused = state.withdraw(&nonce(attempt)); }
                Ask::SetDefault(of) => { let _refused = state.set_default(number(of)); }
                Ask::Rollback => {
                    if let Ok(target) = state.rollback_target(None) {
                        let _refused = state.set_default(target);
                    }
                }
                Ask::Pin(of, pinned) => { let _refused = state.set_pinned(number(of), pinned); }
                Ask::Collect(keep, used) => {
                    let used = used.map(system).into_iter().collect();
                    state.collect(keep, &used);
                }
                Ask::Reread => state = Generations::parse(state.to_text().as_bytes()).unwrap(),
            }
            prop_assert_eq!(state.check(), Ok(()));
            let default = state.default().expect("there is always a default");
            if before.default() != Some(default) {
                let was_good = before.get(default).is_ok_and(|g| g.verdict == Verdict::Good);
                prop_assert!(was_good || confirmed == Some(default), "{:?} → {:?}", before, state);
            }
            if let Some(number) = confirmed {
                prop_assert_eq!(before.trial().map(|trial| trial.number), Some(number));
            }
        }
    }
}
