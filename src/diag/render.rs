//! Problems as text for people and as JSON for programs.

use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Renderer, Snippet};
use serde_json::{Value, json};

use super::{Diagnostic, Label, Position, Severity, printable};

/// How the text for people looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Without colours.
    Plain,
    /// With the terminal's colours.
    Coloured,
}

/// All problems for people, an empty line between two; ends with a newline unless there is none.
pub fn render(problems: &[Diagnostic], look: Look) -> String {
    let renderer = match look {
        Look::Plain => Renderer::plain(),
        Look::Coloured => Renderer::styled(),
    };
    let mut out = String::new();
    for problem in problems {
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(renderer.render(&[group(problem)]).trim_end());
        out.push('\n');
    }
    out
}

/// All problems for programs: an array with an object each.
///
/// Lines and columns count from 1, columns in characters, ends exclusive; `bytes` are offsets.
pub fn to_json(problems: &[Diagnostic]) -> Value {
    problems.iter().map(object).collect()
}

fn group(problem: &Diagnostic) -> Group<'_> {
    let level = match problem.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group = level
        .primary_title(&problem.message)
        .id(problem.code.number())
        .element(snippet(&problem.primary, AnnotationKind::Primary, &same_file(problem)));
    for label in other_files(problem) {
        group = group.element(snippet(label, AnnotationKind::Context, &[]));
    }
    match &problem.help {
        Some(help) => group.element(Level::HELP.message(help)),
        None => group,
    }
}

fn snippet<'a>(
    label: &'a Label,
    kind: AnnotationKind,
    beside: &[&'a Label],
) -> Snippet<'a, Annotation<'a>> {
    let source = &label.place.source;
    Snippet::source(&source.text)
        .path(&source.path)
        .annotation(annotation(label, kind))
        .annotations(beside.iter().map(|label| annotation(label, AnnotationKind::Context)))
}

fn annotation(label: &Label, kind: AnnotationKind) -> Annotation<'_> {
    let annotation = kind.span(shown_span(label));
    if label.text.is_empty() { annotation } else { annotation.label(&label.text) }
}

/// The span up to the end of its first line: a box around forty lines hides the point.
fn shown_span(label: &Label) -> std::ops::Range<usize> {
    let span = label.place.span.clone();
    let first_line = label.place.text().split('\n').next().unwrap_or_default();
    span.start..span.start + first_line.trim_end_matches('\r').len()
}

fn same_file(problem: &Diagnostic) -> Vec<&Label> {
    let path = &problem.primary.place.source.path;
    problem.secondary.iter().filter(|label| &label.place.source.path == path).collect()
}

fn other_files(problem: &Diagnostic) -> impl Iterator<Item = &Label> {
    let path = &problem.primary.place.source.path;
    problem.secondary.iter().filter(move |label| &label.place.source.path != path)
}

fn object(problem: &Diagnostic) -> Value {
    let severity = match problem.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    json!({
        "code": problem.code.number(),
        "severity": severity,
        "message": problem.message,
        "primary": label_object(&problem.primary),
        "secondary": problem.secondary.iter().map(label_object).collect::<Vec<_>>(),
        "help": problem.help,
    })
}

fn label_object(label: &Label) -> Value {
    let place = &label.place;
    let Position { line, column } = place.position();
    let end = place.source.position(place.span.end);
    json!({
        "file": place.source.path,
        "line": line,
        "column": column,
        "end_line": end.line,
        "end_column": end.column,
        "bytes": [place.span.start, place.span.end],
        "text": label.text,
        "found": printable(place.text()),
    })
}
