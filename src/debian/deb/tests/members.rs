//! Archives, members and sizes that are refused, with the reason.

use expect_test::expect;

use super::*;

#[test]
fn too_much_is_refused() {
    let limits = Limits { entries: 4, names_bytes: 20, data_bytes: 4096, ..Limits::default() };
    let check = |entries: &[TestEntry], expected: Expect| {
        expected.assert_eq(&read(&deb(&tar(entries, Style::Gnu), ""), &limits).1.unwrap_err());
    };
    check(
        &[file("./a"), file("./b"), file("./c"), file("./d")],
        expect!["`data.tar` has a refused entry `./d`: the package has more than 4 entries"],
    );
    check(
        &[file("./a/b/c/d/e")],
        expect![
            "`data.tar` has a refused entry `./a/b/c/d/e`: the package has more than 4 entries"
        ],
    );
    check(
        &[file("./a"), TestEntry::symlink("./b", "nineteen characters")],
        expect![
            "`data.tar` has a refused entry `./b`: the package has more than 20 bytes of names and attributes"
        ],
    );
    check(
        &[TestEntry::file("./a", &"x".repeat(4000))],
        expect![
            "`data.tar` has a refused entry `./a`: the archive unpacks to more than 4096 bytes"
        ],
    );
    let mut short = tar_entry(&TestEntry::file("./a", &"x".repeat(2048)), Style::Gnu);
    short.extend([0; 1024]);
    assert_eq!(read(&deb(&short, ""), &limits).1.err(), None);
}

#[test]
fn bombs_are_refused_before_they_unpack() {
    let zeros = TestEntry { contents: vec![0; 70 << 20], ..file("./zeros") };
    let tar = tar(&[zeros], Style::Gnu);
    for suffix in [".xz", ".zst"] {
        let (recorder, result) = read(&deb(&tar, suffix), &Limits::default());
        assert!(!recorder.lines.iter().any(|line| line.contains("zeros")), "{suffix}");
        let error = result.unwrap_err();
        assert!(error.contains("`./zeros`: the archive unpacks to more than 67108864"), "{error}");
    }
    let generous = Limits { ratio: 100_000, ..Limits::default() };
    assert_eq!(read(&deb(&tar, ".xz"), &generous).1.err(), None);
    let little = Limits { memory_bytes: 1 << 20, ..Limits::default() };
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 9);
    std::io::Write::write_all(&mut encoder, &control_tar()).unwrap();
    let control = encoder.finish().unwrap();
    let package = ar(&[("debian-binary", b"2.0\n"), ("control.tar.xz", &control)]);
    expect![[r"
        cannot read `control.tar.xz`
          caused by: memory limit reached"]]
    .assert_eq(&read(&package, &little).1.unwrap_err());
}

#[test]
fn sizes_that_cannot_be_are_refused() {
    let sized = |size: &[u8]| [&header(&file("./a"), size)[..], &[0; 2048]].concat();
    check_refused_tar(
        &sized(b"77777777777\0"),
        &expect!["`./a`: the archive unpacks to more than 67108864 bytes"],
    );
    check_refused_tar(
        &sized(b"777777777777"),
        &expect!["`./a`: the archive unpacks to more than 67108864 bytes"],
    );
    check_refused_tar(
        &sized(b"\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff"),
        &expect![
            "`data.tar` is damaged at byte 512: a header's size is not a number that it can be"
        ],
    );
    check_refused_tar(
        &sized(b"\x80\0\0\0\0\0\0\x01\0\0\0\0"),
        &expect!["`./a`: the archive unpacks to more than 67108864 bytes"],
    );
    check_refused_tar(
        &sized(b"\x80\x01\0\0\0\0\0\0\0\0\0\0"),
        &expect!["`data.tar` is damaged at byte 0: a header's size is not a number that it can be"],
    );
    check_refused_tar(
        &sized(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
        &expect!["`data.tar` is damaged at byte 0: a header's size is not a number that it can be"],
    );
    check_refused_tar(
        &sized(b"-1\0"),
        &expect!["`data.tar` is damaged at byte 0: a header's size is not a number that it can be"],
    );
    check_refused_tar(
        &sized(b"00000000009\0"),
        &expect!["`data.tar` is damaged at byte 0: a header's size is not a number that it can be"],
    );
}

#[test]
fn a_cut_package_is_refused_wherever_the_cut_is() {
    for suffix in ["", ".gz", ".xz", ".zst"] {
        let whole = deb(&tar(&[file("./a"), file("./b")], Style::Gnu), suffix);
        // The padding after the last member may be missing.
        let end = whole.len() - usize::from(whole.ends_with(b"\n"));
        for cut in 0..end {
            let (_, result) = read(&whole[..cut], &Limits::default());
            assert!(result.is_err(), "{suffix} cut at {cut} of {}", whole.len());
        }
    }
}

#[test]
fn nothing_may_follow() {
    let sound = tar(&[file("./a")], Style::Gnu);
    check_refused_tar(
        &[&sound[..], b"x"].concat(),
        &expect![
            "`data.tar` is damaged at byte 1536, after entry `./a`: something follows the end of the archive"
        ],
    );
    check_refused_tar(
        &[&sound[..], &tar(&[file("./b")], Style::Gnu)].concat(),
        &expect![
            "`data.tar` is damaged at byte 1536, after entry `./a`: something follows the end of the archive"
        ],
    );
    check_refused_tar(
        &[&sound[..], &vec![0; 2 << 20]].concat(),
        &expect![
            "`data.tar` is damaged at byte 1179648, after entry `./a`: something follows the end of the archive"
        ],
    );
    check_refused_tar(
        &sound[..sound.len() - 1024],
        &expect!["`data.tar` is damaged at byte 1024, after entry `./a`: the archive is cut off"],
    );
    for suffix in [".gz", ".xz", ".zst"] {
        let (control, data) = (compress("", &control_tar()), compress(suffix, &sound));
        let data = [&data[..], b"tail"].concat();
        let members = [("debian-binary", &b"2.0\n"[..]), ("control.tar", &control)];
        let package = ar(&[&members[..], &[(&format!("data.tar{suffix}"), &data)]].concat());
        let error = read(&package, &Limits::default()).1.unwrap_err();
        assert!(error.contains("something follows the compressed stream"), "{suffix}: {error}");
    }
}

#[test]
fn members_have_an_order() {
    let (binary, control) = (("debian-binary", &b"2.0\n"[..]), control_tar());
    let (control, data) = (("control.tar", &control[..]), tar(&[], Style::Gnu));
    let data = ("data.tar", &data[..]);
    let other = ("_gpgorigin", &b"signature"[..]);
    let sound = ar(&[binary, other, control, other, data, other]);
    assert_eq!(read(&sound, &Limits::default()).1.err(), None);
    check_refused_deb(
        b"",
        &expect![[r"
        not a sound Debian package
          caused by: the file does not begin with `!<arch>`"]],
    );
    check_refused_deb(
        &ar(&[]),
        &expect!["not a sound Debian package: the first member is not `debian-binary` of format 2"],
    );
    check_refused_deb(
        &ar(&[control, data]),
        &expect!["not a sound Debian package: the first member is not `debian-binary` of format 2"],
    );
    check_refused_deb(
        &ar(&[("debian-binary", b"3.0\n"), control, data]),
        &expect!["not a sound Debian package: the first member is not `debian-binary` of format 2"],
    );
    check_refused_deb(
        &ar(&[binary]),
        &expect!["not a sound Debian package: there is no `control.tar`"],
    );
    check_refused_deb(
        &ar(&[binary, data, control]),
        &expect!["not a sound Debian package: expected `control.tar`, found `data.tar`"],
    );
    check_refused_deb(
        &ar(&[binary, control]),
        &expect!["not a sound Debian package: there is no `data.tar`"],
    );
    check_refused_deb(
        &ar(&[binary, control, control]),
        &expect!["not a sound Debian package: expected `data.tar`, found `control.tar`"],
    );
    check_refused_deb(
        &ar(&[binary, control, data, data]),
        &expect!["not a sound Debian package: `data.tar` follows the package's files"],
    );
    check_refused_deb(
        &ar(&[binary, control, data, ("extra", b"")]),
        &expect!["not a sound Debian package: `extra` follows the package's files"],
    );
}

#[test]
fn compressions_are_known_and_sound() {
    let control = control_tar();
    let (binary, control) = (("debian-binary", &b"2.0\n"[..]), ("control.tar", &control[..]));
    check_refused_deb(
        &ar(&[binary, control, ("data.tar.lzma", b"")]),
        &expect![
            "not a sound Debian package: `data.tar.lzma` is compressed in a way that is not supported (gzip, xz and zstd are)"
        ],
    );
    check_refused_deb(
        &ar(&[binary, control, ("data.tar.bz2", b"")]),
        &expect![
            "not a sound Debian package: `data.tar.bz2` is compressed in a way that is not supported (gzip, xz and zstd are)"
        ],
    );
    check_refused_deb(
        &ar(&[binary, control, ("data.tar.xz", b"not xz")]),
        &expect![[r"
        cannot read `data.tar.xz`
          caused by: premature eof"]],
    );
    check_refused_deb(
        &ar(&[binary, control, ("data.tar.gz", b"not gzip, but long enough")]),
        &expect![[r"
            cannot read `data.tar.gz`
              caused by: invalid gzip header"]],
    );
    check_refused_deb(
        &ar(&[binary, control, ("data.tar.zst", b"not zstd")]),
        &expect![[r"
        cannot read `data.tar.zst`
          caused by: Unknown frame descriptor"]],
    );
}

#[test]
fn control_files_are_plain() {
    let check = |entries: &[TestEntry], expected: Expect| {
        let control = tar(entries, Style::Gnu);
        let data = tar(&[], Style::Gnu);
        let members =
            [("debian-binary", &b"2.0\n"[..]), ("control.tar", &control), ("data.tar", &data)];
        expected.assert_eq(&read(&ar(&members), &Limits::default()).1.unwrap_err());
    };
    check(&[], expect!["not a sound Debian package: there is no `control`"]);
    check(&[file("./postinst")], expect!["not a sound Debian package: there is no `control`"]);
    check(
        &[file("./control"), file("./control")],
        expect![
            "`control.tar` has a refused entry `./control`: its place `control` is already taken"
        ],
    );
    check(
        &[file("./control"), file("./sub/x")],
        expect![
            "`control.tar` has a refused entry `./sub/x`: control files are regular files without directories"
        ],
    );
    check(
        &[TestEntry::directory("./sub")],
        expect![
            "`control.tar` has a refused entry `./sub`: control files are regular files without directories"
        ],
    );
    check(
        &[TestEntry::symlink("./control", "/etc/passwd")],
        expect![
            "`control.tar` has a refused entry `./control`: control files are regular files without directories"
        ],
    );
    check(
        &[file("../control")],
        expect![
            "`control.tar` has a refused entry `../control`: the name leads out of the package"
        ],
    );
}
