//! The document of the wire format: every message and field of `src/wire` stands in it, with its type and number.

use std::collections::BTreeMap;

use super::source::Source;

/// Where the messages are.
const WIRE: &str = "src/wire/";

/// The lines of a message or an enum, by its name.
type Blocks = BTreeMap<String, Vec<String>>;

/// What the code and the document say differently.
pub(crate) fn complaints(sources: &[Source], document: &str) -> Vec<String> {
    let wire = sources.iter().filter(|source| source.path.starts_with(WIRE) && !source.is_test());
    let code: Blocks = wire.flat_map(|source| of_code(&source.text)).collect();
    let shown = of_document(document);
    let mut complaints = Vec::new();
    if code.is_empty() {
        complaints.push(format!("no messages found in {WIRE}"));
    }
    for (name, lines) in &code {
        match shown.get(name) {
            None => complaints.push(format!("docs/protocol.md lacks `{name}`:\n{}", lines.join("\n"))),
            Some(shown) if shown != lines => complaints.push(format!(
                "docs/protocol.md has another `{name}`:\n{}\nbut the code has:\n{}",
                shown.join("\n"),
                lines.join("\n")
            )),
            Some(_) => {}
        }
    }
    let gone = shown.keys().filter(|name| !code.contains_key(*name));
    complaints
        .extend(gone.map(|name| format!("docs/protocol.md shows `{name}`, which the code does not have")));
    complaints
}

/// The messages and enums that a file derives, in Protobuf's language.
fn of_code(text: &str) -> Blocks {
    let mut blocks = Blocks::new();
    let mut oneofs: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for item in text.split("#[derive(").skip(1) {
        let Some((derives, rest)) = item.split_once(")]") else { continue };
        let Some((head, rest)) = rest.split_once('{') else { continue };
        let name = head.split_whitespace().last().unwrap_or_default().to_owned();
        let body = rest.split("\n}").next().unwrap_or_default().trim_end_matches('}');
        if derives.contains("prost::Enumeration") {
            blocks.insert(name.clone(), values(&name, body));
        } else if derives.contains("prost::Oneof") {
            oneofs.insert(name, fields(body));
        } else if derives.contains("prost::Message") {
            blocks.insert(name, fields(body));
        }
    }
    for lines in blocks.values_mut() {
        *lines = lines.iter().flat_map(|line| oneof(line, &oneofs)).collect();
        lines.sort_by_key(|line| number(line));
    }
    blocks
}

fn oneof(line: &str, oneofs: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let chosen = line.strip_prefix("oneof ").and_then(|name| oneofs.get(name));
    chosen.cloned().unwrap_or_else(|| vec![line.to_owned()])
}

fn number(line: &str) -> u32 {
    line.trim_end_matches(';').rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// The fields of a message: each attribute and the line after it.
fn fields(body: &str) -> Vec<String> {
    let lines: Vec<&str> = body.lines().map(str::trim).collect();
    let attributed = lines.windows(2).filter_map(|pair| {
        let attribute = pair[0].strip_prefix("#[prost(")?.strip_suffix(")]")?;
        Some((attribute, pair[1]))
    });
    attributed.map(|(attribute, field)| field_line(attribute, field)).collect()
}

fn field_line(attribute: &str, field: &str) -> String {
    let words: Vec<&str> = attribute.split(", ").collect();
    let value = |key: &str| {
        let word = words.iter().find_map(|word| word.strip_prefix(key)?.strip_prefix(" = "));
        word.map(|word| word.trim_matches('"').to_owned())
    };
    if let Some(name) = value("oneof") {
        return format!("oneof {name}");
    }
    let tag = value("tag").unwrap_or_default();
    let (name, inner) = match field.trim_end_matches(',').split_once(':') {
        Some((name, inner)) => (name.trim_start_matches("pub ").to_owned(), inner),
        None => (snake(field), field.trim_end_matches(',')),
    };
    let inner: &str = inner.rsplit(['<', '(']).next().unwrap_or_default().trim_matches(['>', ')', ' ']);
    let kind = match words[0] {
        "message" => inner.to_owned(),
        "bytes = \"vec\"" => "bytes".to_owned(),
        scalar => value("enumeration").unwrap_or_else(|| scalar.to_owned()),
    };
    let is_optional = words.contains(&"optional") && words[0] != "message";
    let label = if words.contains(&"repeated") {
        "repeated "
    } else if is_optional {
        "optional "
    } else {
        ""
    };
    format!("{label}{kind} {name} = {tag};")
}

/// `PingReq(Ping)` is the field `ping_req`.
fn snake(variant: &str) -> String {
    let name = variant.split('(').next().unwrap_or_default();
    let mut snake = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(c.to_lowercase());
    }
    snake
}

fn values(name: &str, body: &str) -> Vec<String> {
    let prefix = snake(name).to_uppercase();
    let variants = body.lines().filter_map(|line| line.trim().strip_suffix(',')?.split_once(" = "));
    variants
        .map(|(variant, number)| format!("{prefix}_{} = {number};", snake(variant).to_uppercase()))
        .collect()
}

/// The messages and enums that the document shows.
fn of_document(document: &str) -> Blocks {
    let mut blocks = Blocks::new();
    let proto = document.split("```proto").skip(1).filter_map(|rest| rest.split("```").next());
    for line in proto.flat_map(str::lines).map(|line| line.split("//").next().unwrap_or_default().trim()) {
        let opened = line.strip_prefix("message ").or_else(|| line.strip_prefix("enum "));
        if let Some(name) = opened.and_then(|rest| rest.split_whitespace().next()) {
            blocks.insert(name.to_owned(), Vec::new());
            blocks.insert(String::new(), vec![name.to_owned()]);
        } else if line.contains(" = ")
            && let Some(open) = blocks.get("").and_then(|open| open.first().cloned())
        {
            blocks.entry(open).or_default().push(line.to_owned());
        }
    }
    blocks.remove("");
    for lines in blocks.values_mut() {
        lines.sort_by_key(|line| number(line));
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::complaints;
    use crate::source::Source;

    const CODE: &str = r#"
#[derive(Clone, prost::Message)]
pub struct Packet {
    /// Hash.
    #[prost(fixed64, tag = "1")]
    pub from: u64,
    #[prost(oneof = "Body", tags = "6")]
    pub body: Option<Body>,
    #[prost(message, repeated, tag = "5")]
    pub facts: Vec<Fact>,
}

#[derive(Clone, prost::Oneof)]
pub enum Body {
    #[prost(message, tag = "6")]
    PingReq(Ping),
}

#[derive(Debug, prost::Enumeration)]
#[repr(i32)]
pub enum FactKind {
    Unknown = 0,
}
"#;

    const DOCUMENT: &str = "
```proto
message Packet {
  fixed64 from = 1;       // who
  repeated Fact facts = 5;
  oneof body {
    Ping ping_req = 6;
  }
}
enum FactKind {
  FACT_KIND_UNKNOWN = 0;
}
```";

    #[track_caller]
    fn check(document: &str, count: usize) {
        let found = complaints(&[Source::new("src/wire/packet.rs", CODE)], document);
        assert_eq!(found.len(), count, "{found:?}");
    }

    #[test]
    fn a_document_that_says_something_else_is_caught() {
        check(DOCUMENT, 0);
        check(&DOCUMENT.replace("from = 1", "from = 2"), 1);
        check(&DOCUMENT.replace("fixed64 from", "uint64 from"), 1);
        check(&DOCUMENT.replace("    Ping ping_req = 6;\n", ""), 1);
        check(&DOCUMENT.replace("message Packet", "message Parcel"), 2);
        check("", 2);
    }
}
