//! The line of `key=value` pairs.

use crate::atoms::{Data, Value};

/// A value as it stands in the line.
#[derive(Debug, PartialEq)]
pub(super) enum Raw {
    /// A key alone.
    Flag,
    Bare(String),
    Quoted {
        text: String,
        /// Whether it had a backslash, which makes it text whatever it looks like.
        escaped: bool,
    },
    /// With its brackets.
    Bracketed(String),
}

/// The pairs of a line, in order.
pub(super) fn pairs(line: &str) -> Result<Vec<(String, Raw)>, String> {
    let mut rest = Scanner(line);
    let mut pairs = Vec::new();
    loop {
        rest.skip_space();
        let Some(first) = rest.peek() else {
            return Ok(pairs);
        };
        let key = match first {
            '"' | '\'' => rest.quoted(first)?.0,
            _ => rest
                .take_while(|c| c != '=' && !c.is_ascii_whitespace())
                .into(),
        };
        if key.is_empty() {
            return Err(format!("a value without a key at {:?}", short(rest.0)));
        }
        let flag = rest.0;
        rest.skip_space();
        if rest.peek() != Some('=') {
            rest.0 = flag;
            pairs.push((key, Raw::Flag));
            continue;
        }
        rest.next();
        rest.skip_space();
        let value = match rest.peek() {
            None => return Err(format!("key {:?} has no value", short(&key))),
            Some(quote @ ('"' | '\'')) => {
                let (text, escaped) = rest.quoted(quote)?;
                Raw::Quoted { text, escaped }
            }
            Some('{') => {
                rest.next();
                let text = rest.take_while(|c| c != '}').into();
                rest.next().ok_or("a { is not closed")?;
                let escaped = false;
                Raw::Quoted { text, escaped }
            }
            Some('[') => Raw::Bracketed(rest.bracketed()?.into()),
            Some(_) => Raw::Bare(rest.take_while(|c| !c.is_ascii_whitespace()).into()),
        };
        pairs.push((key, value));
    }
}

/// What is left of a line.
struct Scanner<'a>(&'a str);

impl<'a> Scanner<'a> {
    fn peek(&self) -> Option<char> {
        self.0.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let mut chars = self.0.chars();
        let next = chars.next();
        self.0 = chars.as_str();
        next
    }

    fn take_while(&mut self, keep: impl Fn(char) -> bool) -> &'a str {
        let end = self.0.find(|c| !keep(c)).unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at(end);
        self.0 = rest;
        taken
    }

    fn skip_space(&mut self) {
        self.take_while(|c| c.is_ascii_whitespace());
    }

    /// Text in quotes, and whether a backslash was in it.
    fn quoted(&mut self, quote: char) -> Result<(String, bool), String> {
        self.next();
        let (mut text, mut escaped) = (String::new(), false);
        loop {
            match self.next() {
                None => return Err(format!("a {quote} is not closed")),
                Some('\\') => {
                    escaped = true;
                    text.push(match self.next() {
                        None => return Err(format!("a {quote} is not closed")),
                        Some('n') => '\n',
                        Some('r') => '\r',
                        Some(other) => other,
                    });
                }
                Some(c) if c == quote => return Ok((text, escaped)),
                Some(c) => text.push(c),
            }
        }
    }

    /// A list with its brackets.
    fn bracketed(&mut self) -> Result<&'a str, String> {
        let all = self.0;
        let mut depth = 0_usize;
        while let Some(c) = self.peek() {
            if c == '"' || c == '\'' {
                self.quoted(c)?;
                continue;
            }
            self.next();
            match c {
                '[' => depth += 1,
                ']' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return Ok(&all[..all.len() - self.0.len()]);
            }
        }
        Err("a [ is not closed".into())
    }
}

/// The value that a raw one stands for.
pub(super) fn value(raw: Raw) -> Result<Value, String> {
    match raw {
        Raw::Flag => Ok(Value::Bool(true)),
        Raw::Bare(word) => Ok(bare(&word)),
        Raw::Quoted {
            text,
            escaped: true,
        } => Ok(Value::Text(text)),
        Raw::Quoted { text, .. } => Ok(quoted(text)),
        Raw::Bracketed(list) => bracketed(&list),
    }
}

/// `T`, `F` and their longer forms.
pub(super) fn truth(word: &str) -> Option<bool> {
    match word {
        "T" | "True" | "true" | "TRUE" => Some(true),
        "F" | "False" | "false" | "FALSE" => Some(false),
        _ => None,
    }
}

/// A real number, Fortran's `1.0D-3` included.
pub(super) fn real(word: &str) -> Option<f64> {
    word.parse().ok().or_else(|| {
        let digits = word.bytes().any(|b| b.is_ascii_digit());
        let exponent = |c| c == 'd' || c == 'D';
        (digits && word.contains(exponent)).then(|| word.replace(exponent, "e").parse().ok())?
    })
}

fn bare(word: &str) -> Value {
    match unify(&[word]) {
        Data::Bools(v) => Value::Bool(v[0]),
        Data::Ints(v) => Value::Int(v[0]),
        Data::Reals(v) => Value::Real(v[0]),
        Data::Texts(_) => Value::Text(word.into()),
    }
}

fn quoted(text: String) -> Value {
    // What ASE makes of lists and matrices.
    if let Some(list) = text.strip_prefix("_JSON ").filter(|t| t.starts_with('['))
        && Scanner(list).bracketed() == Ok(list)
        && let Ok(value @ Value::Array { data, .. }) = &bracketed(list)
        && !matches!(data, Data::Texts(_))
    {
        return value.clone();
    }
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    match (words.as_slice(), unify(&words)) {
        ([], _) | (_, Data::Texts(_)) => Value::Text(text),
        ([word], _) => bare(word),
        (_, data) => Value::Array {
            data,
            columns: None,
        },
    }
}

/// Words as the narrowest type that holds them all; real numbers if there are none.
fn unify(words: &[&str]) -> Data {
    fn all<T>(words: &[&str], read: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
        words.iter().map(|word| read(word)).collect()
    }
    let bools = || all(words, truth).map(Data::Bools);
    let ints = || all(words, |word| word.parse().ok()).map(Data::Ints);
    let texts = || Data::Texts(words.iter().map(|&w| w.into()).collect());
    if words.is_empty() {
        return Data::Reals(Vec::new());
    }
    let reals = || all(words, real).map(Data::Reals);
    bools().or_else(ints).or_else(reals).unwrap_or_else(texts)
}

/// A list or a matrix.
fn bracketed(list: &str) -> Result<Value, String> {
    let mut rest = Scanner(list);
    let (mut depth, mut deepest) = (0, 0);
    let (mut words, mut text) = (Vec::new(), false);
    // Where rows end.
    let mut ends = Vec::new();
    while let Some(c) = rest.peek() {
        match c {
            '[' => {
                if depth == 0 && deepest > 0
                    || depth == 1 && deepest == 1 && !words.is_empty()
                    || depth == 2
                {
                    return Err(format!("{:?} is neither a list nor a matrix", short(list)));
                }
                rest.next();
                depth += 1;
                deepest = depth.max(deepest);
            }
            ']' => {
                rest.next();
                if depth == 2 {
                    ends.push(words.len());
                }
                depth -= 1;
            }
            ',' => {
                rest.next();
            }
            '"' | '\'' => {
                words.push(rest.quoted(c)?.0);
                text = true;
            }
            c if c.is_ascii_whitespace() => rest.skip_space(),
            _ => {
                let word = rest.take_while(|c| !",[]\"'".contains(c) && !c.is_ascii_whitespace());
                words.push(word.into());
            }
        }
        if deepest == 2 && depth < 2 && words.len() != ends.last().copied().unwrap_or(0) {
            return Err(format!("{:?} is neither a list nor a matrix", short(list)));
        }
    }
    let columns = match ends.first() {
        None => None,
        Some(&columns) => {
            let even = ends
                .iter()
                .enumerate()
                .all(|(row, &end)| end == (row + 1) * columns);
            if columns == 0 || !even {
                return Err(format!(
                    "rows of {:?} are empty or differ in length",
                    short(list)
                ));
            }
            Some(columns)
        }
    };
    let data = if text {
        Data::Texts(words)
    } else {
        unify(&words.iter().map(String::as_str).collect::<Vec<_>>())
    };
    Ok(Value::Array { data, columns })
}

/// The beginning of something that may be long.
pub(super) fn short(text: &str) -> String {
    const MOST: usize = 40;
    match text.char_indices().nth(MOST) {
        None => text.into(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// A key, written so that [`pairs`] reads it back.
pub(super) fn write_key(key: &str) -> String {
    let plain = |c: char| !c.is_ascii_whitespace() && !"=\"'[]{}\\".contains(c);
    if key.chars().all(plain) {
        key.into()
    } else {
        escape(key, false)
    }
}

/// A value, written so that [`pairs`] and [`value`] read it back; `None` for a matrix without whole, non-empty rows.
pub(super) fn write_value(value: &Value) -> Option<String> {
    Some(match value {
        Value::Bool(b) => letter(*b).into(),
        Value::Int(n) => n.to_string(),
        Value::Real(x) => format!("{x:?}"),
        Value::Text(text) => {
            let plain = |c: char| !c.is_ascii_whitespace() && !"=\"'[]{}\\".contains(c);
            let word = !text.is_empty() && text.chars().all(plain);
            let same = |v: Value| v == *value;
            if word && same(bare(text)) {
                text.clone()
            } else {
                escape(text, !same(quoted(text.clone())))
            }
        }
        Value::Array { data, columns } => {
            let texts = matches!(data, Data::Texts(_));
            let words = words(data);
            match columns {
                None if words.len() < 2 || texts => format!("[{}]", words.join(", ")),
                None => format!("\"{}\"", words.join(" ")),
                Some(columns) => {
                    if words.is_empty() || *columns == 0 || !words.len().is_multiple_of(*columns) {
                        return None;
                    }
                    let row = |row: &[String]| format!("[{}]", row.join(", "));
                    let rows: Vec<String> = words.chunks(*columns).map(row).collect();
                    format!("[{}]", rows.join(", "))
                }
            }
        }
    })
}

pub(super) fn letter(truth: bool) -> &'static str {
    if truth { "T" } else { "F" }
}

fn words(data: &Data) -> Vec<String> {
    match data {
        Data::Bools(v) => v.iter().map(|&b| letter(b).into()).collect(),
        Data::Ints(v) => v.iter().map(i64::to_string).collect(),
        Data::Reals(v) => v.iter().map(|x| format!("{x:?}")).collect(),
        Data::Texts(v) => v.iter().map(|t| escape(t, false)).collect(),
    }
}

/// Text in quotes, with a backslash somewhere if `force`.
fn escape(text: &str, mut force: bool) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '"' | '\\' => out.extend(['\\', c]),
            // Those two letters mean something else after a backslash.
            c if force && c != 'n' && c != 'r' => {
                out.extend(['\\', c]);
                force = false;
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Vec<(String, Value)> {
        let pairs = pairs(line).unwrap();
        pairs
            .into_iter()
            .map(|(k, raw)| (k, value(raw).unwrap()))
            .collect()
    }

    fn one(line: &str) -> Value {
        let [(_, value)] = read(line).try_into().unwrap();
        value
    }

    fn array(data: Data, columns: Option<usize>) -> Value {
        Value::Array { data, columns }
    }

    #[test]
    fn values_of_every_kind() {
        assert_eq!(one("a=1"), Value::Int(1));
        assert_eq!(one("a = 1.5"), Value::Real(1.5));
        assert_eq!(one("a=1.5D-3"), Value::Real(1.5e-3));
        assert_eq!(one("a=Dd"), Value::Text("Dd".into()));
        assert_eq!(one("a"), Value::Bool(true));
        assert_eq!(one("a=F"), Value::Bool(false));
        assert_eq!(one("\"a b\"='x y'"), Value::Text("x y".into()));
        assert_eq!(
            one(r#"a="say \"no\"\n""#),
            Value::Text("say \"no\"\n".into())
        );
        assert_eq!(one("a=\"1 2 3\""), array(Data::Ints(vec![1, 2, 3]), None));
        assert_eq!(one("a={1 2.5}"), array(Data::Reals(vec![1.0, 2.5]), None));
        assert_eq!(one("a=[T, F]"), array(Data::Bools(vec![true, false]), None));
        assert_eq!(one("a=[]"), array(Data::Reals(vec![]), None));
        assert_eq!(
            one("a=[[1, 2],[3,4]]"),
            array(Data::Ints(vec![1, 2, 3, 4]), Some(2))
        );
        assert_eq!(
            one("a=[\"1\", b]"),
            array(Data::Texts(vec!["1".into(), "b".into()]), None)
        );
        assert_eq!(
            one("a=\"_JSON [1.5, 2]\""),
            array(Data::Reals(vec![1.5, 2.0]), None)
        );
        assert_eq!(
            one("a=\"_JSON [[1, 2], [3, 4]]\""),
            array(Data::Ints(vec![1, 2, 3, 4]), Some(2))
        );
        for text in ["_JSON {}", "_JSON [[[1]]]", "_JSON [1", "_JSON [1, null]"] {
            assert_eq!(one(&format!("a=\"{text}\"")), Value::Text(text.into()));
        }
        assert_eq!(read("flag b=2 other").len(), 3);
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            "=1", "a=", "a=\"x", "a={1", "a=[1", "\"a=1", "a='\\", "a=[\"]",
        ] {
            assert!(pairs(line).is_err(), "{line}");
        }
        for list in [
            "[[1],[2,3]]",
            "[1,[2]]",
            "[[1],2]",
            "[[]]",
            "[[[1]]]",
            "[[1][]]",
        ] {
            let raw = Raw::Bracketed(list.into());
            assert!(value(raw).is_err(), "{list}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let texts = [
            "",
            " ",
            "a",
            "a b",
            "T",
            "1",
            "nan",
            "1 2",
            "\"",
            "\\",
            "a=b",
            "\n\r",
            "[1]",
            "{x}",
            "é ü",
            "inf",
            "_JSON [1]",
            "_JSON [",
        ];
        let mut values: Vec<Value> = texts.map(|t| Value::Text(t.into())).to_vec();
        values.extend([0.1, -0.0, 1e300, 5e-324, f64::INFINITY, 3.0].map(Value::Real));
        values.extend([i64::MIN, 0, 7].map(Value::Int));
        for n in 0..3 {
            values.push(array(Data::Reals(vec![1.0; n]), None));
        }
        values.push(array(Data::Bools(vec![true]), None));
        values.push(array(Data::Ints(vec![1, -2, 3, 4]), Some(2)));
        values.push(array(
            Data::Texts(texts.map(String::from).to_vec()),
            Some(3),
        ));
        values.push(array(Data::Texts(vec!["1".into()]), None));
        for value in values {
            for key in ["k", "a b", "x=\"y\"", "\n"] {
                let line = format!("{}={}", write_key(key), write_value(&value).unwrap());
                assert_eq!(read(&line), [(key.to_string(), value.clone())], "{line}");
            }
        }
        assert_eq!(
            write_value(&array(Data::Ints(vec![1, 2, 3]), Some(2))),
            None
        );
    }
}
