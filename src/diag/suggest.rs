//! "Did you mean": the nearest of the words that would have been right.

/// The candidate nearest to `text`, if one is near enough to be a slip of the pen.
///
/// Nearness is Damerau-Levenshtein distance without regard to case; a third of the longer word may
/// differ. Of several equally near ones the first in `candidates` wins.
pub fn closest<'a>(text: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const CHARS_MAX: usize = 100;
    let wanted: String = text.chars().take(CHARS_MAX).collect::<String>().to_lowercase();
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let distance = strsim::damerau_levenshtein(&wanted, &candidate.to_lowercase());
        let allowed = wanted.chars().count().max(candidate.chars().count()).div_ceil(3);
        if distance <= allowed && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// The sentence "Did you mean `x`?" with the nearest candidate.
pub fn did_you_mean<'a>(
    text: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    closest(text, candidates).map(|candidate| format!("Did you mean `{candidate}`?"))
}
