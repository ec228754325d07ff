//! What is said when a frame is not a message: which element of which message, what was wrong,
//! what is allowed. Made by `fields.rs`, shown to clients and in logs.

use crate::id::RequestId;
use crate::message::MessageType;
use crate::serializer::{Fault, Malformed, TranscodeError};

/// Why a frame is not a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct DecodeError {
    /// What sort of fault it is.
    pub kind: DecodeErrorKind,
    /// Which message, if its type could be read.
    pub message_type: Option<MessageType>,
    /// Which request, if its ID could be read: it can be answered with an ERROR.
    pub request: Option<RequestId>,
    /// The element, what was wrong with it, what is allowed.
    pub reason: String,
}

/// What sort of fault a [`DecodeError`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// The bytes are not what the serializer allows, or more than one value.
    Malformed,
    /// Lists and maps are nested too deeply, or there are too many values.
    OverLimit,
    /// It is not a list that begins with the number of a message.
    UnknownType,
    /// It has too few or too many elements.
    WrongLength,
    /// An element is of a wrong type or value.
    WrongElement,
}

/// On the way out of the code that reads, in one word: results stay in registers.
pub(super) type Wrong = Box<DecodeError>;

/// Of a message whose type is not known, or does not matter.
pub(super) fn wrong(kind: DecodeErrorKind, reason: String) -> Wrong {
    Box::new(DecodeError {
        kind,
        message_type: None,
        request: None,
        reason,
    })
}

pub(super) fn malformed(malformed: Malformed) -> Wrong {
    let kind = match malformed.fault {
        Fault::TooDeep => DecodeErrorKind::OverLimit,
        _ => DecodeErrorKind::Malformed,
    };
    let (at, what) = (malformed.at(), malformed.fault.text());
    wrong(kind, format!("malformed data at byte {at}: {what}"))
}

/// Where in a message reading is.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) message_type: MessageType,
    pub(super) request: Option<RequestId>,
    pub(super) element: &'static str,
    pub(super) key: &'static str,
}

impl Place {
    pub(super) fn wrong(&self, what: &str) -> Wrong {
        self.error(DecodeErrorKind::WrongElement, "", what)
    }

    /// `path` leads on from the element or key: `.name` or `[index]`, any number of them.
    pub(super) fn error(&self, kind: DecodeErrorKind, path: &str, what: &str) -> Wrong {
        let (message_type, element, key) = (self.message_type, self.element, self.key);
        let dot = if key.is_empty() { "" } else { "." };
        self.of_message(
            kind,
            format!("{message_type}.{element}{dot}{key}{path}: {what}"),
        )
    }

    #[cold]
    pub(super) fn of_message(&self, kind: DecodeErrorKind, reason: String) -> Wrong {
        let (message_type, request) = (Some(self.message_type), self.request);
        Box::new(DecodeError {
            kind,
            message_type,
            request,
            reason,
        })
    }

    pub(super) fn expected(&self, expected: &str, found: &str) -> Wrong {
        self.wrong(&format!("expected {expected}, found {found}"))
    }

    pub(super) fn malformed(&self, malformed: Malformed) -> Wrong {
        let wrong = self::malformed(malformed);
        self.error(wrong.kind, "", &wrong.reason)
    }

    pub(super) fn tree(&self, error: TranscodeError) -> Wrong {
        match error {
            TranscodeError::Malformed { at, what } => {
                let what = format!("malformed data at byte {at}: {what}");
                self.error(DecodeErrorKind::Malformed, "", &what)
            }
            TranscodeError::TooDeep { at } => self.malformed(Malformed::new(at, Fault::TooDeep)),
            TranscodeError::TooMany { path, limit } => self.error(
                DecodeErrorKind::OverLimit,
                &path,
                &format!("more than {limit} values"),
            ),
            TranscodeError::Unrepresentable { what, path, .. } => {
                let what = format!("{what} is not allowed");
                self.error(DecodeErrorKind::WrongElement, &path, &what)
            }
        }
    }
}
