//! The classes of problems, each with a number, a title and an explanation: the one table.

use std::fmt;
use std::fmt::Write as _;

macro_rules! codes {
    ($($name:ident $number:literal $title:literal $explanation:literal)*) => {
        /// The class of a problem.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Code {
            $(
                #[doc = $title]
                $name,
            )*
        }

        /// Every class, in the order of the numbers.
        pub const CODES: &[Code] = &[$(Code::$name),*];

        impl Code {
            /// The number that users see and search for, such as `E0201`.
            pub const fn number(self) -> &'static str {
                match self { $(Self::$name => $number),* }
            }

            /// What it is, in a line.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title),* }
            }

            /// Why it is a problem and what to do, in a paragraph.
            pub const fn explanation(self) -> &'static str {
                match self { $(Self::$name => $explanation),* }
            }
        }
    };
}

codes! {
    FileTooLarge "E0101" "The file is larger than any host file needs to be."
        "Host files, modules and templates may have 1 MiB each. Put large contents into a package or \
         below `/var`, and let a unit fetch them."
    Syntax "E0102" "The text is not TOML."
        "Every place where the text breaks TOML's rules is reported at once, so a missing quote may \
         cause several reports: mend the first one first."
    TooDeep "E0103" "Tables or arrays are nested deeper than any option is."
        "A key may have 16 parts joined by dots, and values may nest 16 deep."
    TooMany "E0104" "More problems were found than are shown."
        "The first hundred are shown. Mend those; the rest are often their consequence."
    InvalidValue "E0201" "A value does not have the form that the option asks for."
        "The label says which form is expected; the help shows a value that would be taken."
    UnknownKey "E0202" "A key that no option has."
        "Unknown keys are errors, because a misspelt option would silently do nothing. The options \
         are listed in `docs/options.md`."
    WrongType "E0203" "A value of another type than the option has."
        "For example a number where text is expected. Text stands in quotes, lists in `[ ]`, tables \
         in `{ }` or below a `[header]`."
    MissingKey "E0204" "An option without a default is not set."
        "The help shows a line that can be added."
    OutOfRange "E0205" "A number is outside the range of the option, or a list has too few or too many items."
        "The label says what is allowed."
    NameMismatch "E0206" "The host's name is not that of its file."
        "Verbs name a host by its file, `hosts/NAME.toml`, and the machine calls itself by `host.name`. \
         Two names for one machine lead to mistakes. Only a warning."
    ModuleManifest "E0301" "A `module.toml` that does not describe a module."
        "The format is described in `docs/modules.md`."
    ModuleClaim "E0302" "Two modules claim the same section of the host file, or one claims a reserved name."
        "Each top-level section belongs to one module. Rename the section of your own module."
    ModuleOverride "E0303" "A module of yours has the name of a built-in one without saying that it replaces it."
        "Write `replaces = true` below `[module]` when that is what you want. The module `host` cannot \
         be replaced."
    Template "E0304" "A template cannot be compiled or rendered."
        "Unknown variables are errors, and so is text printed without a filter that quotes it for the \
         language of the file: `toml`, `exec`, `systemd`, `environment`, `caddy`, `nft`, `words`."
    Fragment "E0305" "What a template yielded is not a fragment of a host."
        "The text shown is the rendered template. The items that a fragment may have are listed in \
         `docs/modules.md`."
    ModuleFile "E0306" "A fragment names a template that the module does not have, or a module has a file that nothing can use."
        "Templates lie beside `module.toml` and end in `.tera`."
    Stage "E0307" "A second-stage template contributes what second-stage templates see."
        "Ports, routes, interfaces and users are contributed in the first stage (`contribute.toml.tera`), so that each \
         consumer sees all of them and the order of modules does not matter."
    Conflict "E0401" "Two places ask for different things under the same name."
        "Both places are shown. Identical demands are merged silently; different ones must be settled by you."
    RouteTwice "E0402" "Two routes for one domain."
        "The reverse proxy would have to choose. Give one of them another domain."
    PortTwice "E0403" "Two services listen on the same port."
        "The second one would fail to start. Give one of them another port or another address."
    UnknownGroup "E0404" "A user in a group that does not exist."
        "Groups exist when Debian's base system has them or when they are declared below `[groups]`. \
         A group that comes from a package may be declared too: the package then finds it."
    UnknownOwner "E0405" "A file belongs to a user or group that nothing declares."
        "Declare the user below `[users]` or the group below `[groups]`, or let root own the file."
    UnitText "E0406" "A unit that systemd would refuse."
        "Lines are `Key=value` below a `[Section]`, and programs are named by their absolute path."
    PathNotAllowed "E0407" "A file outside `/etc` and `/usr`."
        "The system is immutable: only `/etc` and `/usr` are built. What changes lives in `/var`; \
         create it with `tmpfiles` or a unit's `StateDirectory=`."
    Assertion "E0408" "A module finds that its options do not fit together."
        "The message comes from the module."
    NothingStarts "E0409" "Units are asked for, but nothing would start them."
        "Without a kernel nothing brings systemd. Set `host.kernel`, or add `systemd` to `host.packages`. Only a warning."
    UnknownSecret "E0410" "A template, user or secret names a secret that nothing declares."
        "Declare it below `[secrets.values]`, or name it in an option that takes `{ secret = \"…\" }`."
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.number())
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.number())
    }
}

/// `docs/errors.md`, made from the table.
pub fn codes_page() -> String {
    let mut page = String::from(
        "# Problems in host files and modules\n\n\
         Made from the table in `src/diag/code.rs`; a test checks that this page is current.\n",
    );
    for code in CODES {
        let (number, title, why) = (code.number(), code.title(), code.explanation());
        write!(page, "\n## {number}\n\n**{title}**\n\n{why}\n")
            .expect("writing to a String cannot fail");
    }
    page
}
