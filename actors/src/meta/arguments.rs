//! What a call of a meta procedure came with: by position or by keyword, each taken once, and
//! whatever is left over is an error that names it.

use rewamp_wamp::payload::Payload;
use rewamp_wamp::uri::MatchPolicy;
use rewamp_wamp::value::{Dict, Value};

use super::{ARGUMENT_BYTES, Failure, Procedure};

/// See the head of this file.
pub(super) struct Arguments {
    procedure: &'static str,
    parameters: &'static [&'static str],
    positional: Vec<Option<Value>>,
    keywords: Dict,
}

/// An argument and how it came.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Given {
    /// By position; null counts as given.
    Positional(Value),
    /// By keyword; null counts as absent.
    Keyword(Value),
    /// Not at all.
    Absent,
}

impl Arguments {
    /// Reads the arguments of a call.
    ///
    /// # Errors
    /// `wamp.error.invalid_argument` if they are too large or too many.
    pub(super) fn read(procedure: &Procedure, payload: &Payload) -> Result<Self, Failure> {
        let bytes = payload.tail().len();
        if bytes > ARGUMENT_BYTES {
            return Err(Failure::invalid(format!(
                "{}: {bytes} bytes of arguments, at most {ARGUMENT_BYTES} are read",
                procedure.uri
            )));
        }
        let unreadable =
            |error: &dyn std::fmt::Display| Failure::invalid(format!("{}: {error}", procedure.uri));
        let args = payload.args_value().map_err(|error| unreadable(&error))?;
        let keywords = payload.kwargs_value().map_err(|error| unreadable(&error))?;
        let positional: Vec<_> = args.into_iter().map(Some).collect();
        if positional.len() > procedure.parameters.len() {
            return Err(Failure::invalid(format!(
                "{}: {} positional arguments, at most {} are known: {}",
                procedure.uri,
                positional.len(),
                procedure.parameters.len(),
                procedure.parameters.join(", ")
            )));
        }
        let keywords = keywords
            .into_iter()
            .filter(|(_, value)| *value != Value::Null)
            .collect();
        Ok(Self {
            procedure: procedure.uri,
            parameters: procedure.parameters,
            positional,
            keywords,
        })
    }

    /// Takes a parameter of the procedure, however it came.
    ///
    /// # Errors
    /// `wamp.error.invalid_argument` if it came both ways.
    pub(super) fn take(&mut self, name: &str) -> Result<Given, Failure> {
        let place = self
            .parameters
            .iter()
            .position(|parameter| *parameter == name);
        let positional = place
            .and_then(|place| self.positional.get_mut(place))
            .and_then(Option::take);
        match (positional, self.keywords.remove(name)) {
            (Some(_), Some(_)) => {
                Err(self.invalid(name, "came by position and by keyword, once is enough"))
            }
            (Some(value), None) => Ok(Given::Positional(value)),
            (None, Some(value)) => Ok(Given::Keyword(value)),
            (None, None) => Ok(Given::Absent),
        }
    }

    /// Takes a parameter for which null counts as absent.
    ///
    /// # Errors
    /// As [`Arguments::take`].
    pub(super) fn optional(&mut self, name: &str) -> Result<Option<Value>, Failure> {
        Ok(match self.take(name)? {
            Given::Absent | Given::Positional(Value::Null) => None,
            Given::Positional(value) | Given::Keyword(value) => Some(value),
        })
    }

    /// Takes a parameter that has to be there.
    ///
    /// # Errors
    /// As [`Arguments::take`], and `wamp.error.invalid_argument` if it is absent.
    pub(super) fn required(&mut self, name: &str) -> Result<Value, Failure> {
        self.optional(name)?
            .ok_or_else(|| self.invalid(name, "is missing"))
    }

    /// Takes a number that has to be there: an ID, whatever its value.
    ///
    /// # Errors
    /// As [`Arguments::required`], and `wamp.error.invalid_argument` if it is no number.
    pub(super) fn id(&mut self, name: &str) -> Result<u64, Failure> {
        let value = self.required(name)?;
        value
            .as_u64()
            .ok_or_else(|| self.wrong(name, &value, "an ID, an integer from 1 to 2^53"))
    }

    /// Takes a text that has to be there.
    ///
    /// # Errors
    /// As [`Arguments::required`], and `wamp.error.invalid_argument` if it is no text.
    pub(super) fn text(&mut self, name: &str) -> Result<String, Failure> {
        let value = self.required(name)?;
        value
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| self.wrong(name, &value, "a string"))
    }

    /// The match policy that a map of options names; exact if it names none.
    ///
    /// # Errors
    /// `wamp.error.invalid_argument` if there is no such policy.
    pub(super) fn match_policy(&self, options: &Dict) -> Result<MatchPolicy, Failure> {
        let text = options
            .text("match")
            .map_err(|error| self.invalid("options", &error.to_string()))?;
        text.map_or(Ok(MatchPolicy::Exact), |text| {
            MatchPolicy::from_name(text).ok_or_else(|| {
                let what = format!("has match `{text}`, expected `exact`, `prefix` or `wildcard`");
                self.invalid("options", &what)
            })
        })
    }

    /// Takes a parameter that is a map, whose entries then count as keywords.
    ///
    /// # Errors
    /// As [`Arguments::take`], and `wamp.error.invalid_argument` if it is no map, or one of its
    /// entries is a keyword of the call as well.
    pub(super) fn spread(&mut self, name: &str) -> Result<(), Failure> {
        let map = match self.optional(name)? {
            None => return Ok(()),
            Some(Value::Map(map)) => map,
            Some(other) => return Err(self.wrong(name, &other, "a map")),
        };
        for (key, value) in map {
            if self.keywords.get(&key).is_some() {
                return Err(self.invalid(&key, "came twice, once is enough"));
            }
            if value != Value::Null {
                self.keywords.insert(key, value);
            }
        }
        Ok(())
    }

    /// The error for arguments that do not go together.
    pub(super) fn refused(&self, what: &str) -> Failure {
        Failure::invalid(format!("{}: {what}", self.procedure))
    }

    /// Whether any keyword but these is left.
    pub(super) fn has_keyword_besides(&self, names: &[&str]) -> bool {
        self.keywords
            .iter()
            .any(|(name, _)| !names.contains(&&**name))
    }

    /// Takes a keyword.
    pub(super) fn keyword(&mut self, name: &str) -> Option<Value> {
        self.keywords.remove(name)
    }

    /// The error for an argument of a wrong type.
    pub(super) fn wrong(&self, name: &str, value: &Value, expected: &str) -> Failure {
        self.invalid(name, &format!("is {}, expected {expected}", value.kind()))
    }

    /// The error for an argument.
    pub(super) fn invalid(&self, name: &str, what: &str) -> Failure {
        Failure::invalid(format!("{}: argument `{name}` {what}", self.procedure))
    }

    /// Everything has been taken.
    ///
    /// # Errors
    /// `wamp.error.invalid_argument` naming a keyword that nobody took.
    pub(super) fn done(&self) -> Result<(), Failure> {
        match self.keywords.iter().next() {
            None => Ok(()),
            Some((name, _)) => Err(self.invalid(name, "is not known")),
        }
    }
}
