//! The values of a scenario file: durations, shares and selections, with what is accepted in their errors.

use std::fmt;

use meshnode::mesh::Detector;
use meshnode::time::Duration;
use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

use super::action::Who;
use crate::latency::Latency;
use crate::options::{mode_name, parse_duration, parse_mode};

/// `"90s"`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Span(pub(super) Duration);

/// `"-2h"`, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Seconds(pub(super) i64);

/// `0.05`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Share(pub(super) f64);

/// `"lan"`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Delay(pub(super) Latency);

/// `"witness"`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Mode(pub(super) Detector);

/// `3`, `"10%"`, `"leader"`, `[1, 4]`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Selection(pub(super) Who);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        parse_duration(&text).map(Self).map_err(de::Error::custom)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{:?}", self.0))
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let (sign, rest) = text.strip_prefix('-').map_or((1, text.as_str()), |rest| (-1, rest));
        let seconds = parse_duration(rest).ok().and_then(|span| i64::try_from(span.as_secs()).ok());
        let accepted = || format!("'{text}' is not a skew; accepted are durations such as 2h or -90s");
        seconds.map(|seconds| Self(sign * seconds)).ok_or_else(|| de::Error::custom(accepted()))
    }
}

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{}s", self.0))
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let share = f64::deserialize(from)?;
        if (0.0..=1.0).contains(&share) {
            return Ok(Self(share));
        }
        Err(de::Error::custom(format!("{share} is not a share; accepted is a number from 0 to 1")))
    }
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(self.0)
    }
}

impl<'de> Deserialize<'de> for Delay {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Latency::parse(&text).map(Self).map_err(de::Error::custom)
    }
}

impl Serialize for Delay {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        parse_mode(&text).map(Self).map_err(de::Error::custom)
    }
}

impl Serialize for Mode {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(mode_name(self.0))
    }
}

impl<'de> Deserialize<'de> for Selection {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(SelectionVisitor).map(Self)
    }
}

struct SelectionVisitor;

impl<'de> Visitor<'de> for SelectionVisitor {
    type Value = Who;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a number of nodes, a share such as \"10%\", a list of indexes, or one of \"leader\", \"same\", \"next\", \"all\" and \"off\"",
        )
    }

    fn visit_i64<E: de::Error>(self, count: i64) -> Result<Who, E> {
        let invalid = || E::invalid_value(de::Unexpected::Signed(count), &self);
        usize::try_from(count).map(Who::Some).map_err(|_| invalid())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Who, E> {
        let invalid = || E::invalid_value(de::Unexpected::Str(text), &self);
        match text {
            "leader" => Ok(Who::Leader),
            "same" => Ok(Who::Same),
            "next" => Ok(Who::Next),
            "all" => Ok(Who::All),
            "off" => Ok(Who::Off),
            _ => {
                let percent = text.strip_suffix('%').and_then(|number| number.parse().ok());
                percent.filter(|p| (0.0..=100.0).contains(p)).map(Who::Percent).ok_or_else(invalid)
            }
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Who, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = seq.next_element()? {
            nodes.push(node);
        }
        Ok(Who::These(nodes))
    }
}

impl Serialize for Selection {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Who::Some(count) => count.serialize(to),
            Who::These(nodes) => nodes.serialize(to),
            Who::Percent(percent) => to.collect_str(&format_args!("{percent}%")),
            Who::Leader => to.serialize_str("leader"),
            Who::Same => to.serialize_str("same"),
            Who::Next => to.serialize_str("next"),
            Who::All => to.serialize_str("all"),
            Who::Off => to.serialize_str("off"),
        }
    }
}
