//! Method `ticket`: the client shows a secret that the router knows. Called by `auth.rs`.
//! Spec: "Ticket-based Authentication".

use std::collections::{BTreeMap, HashMap};

use bytestring::ByteString;
use subtle::{Choice, ConstantTimeEq};

use super::decoy::DecoyKey;
use super::secret::{KeyedHash, MAX_SECRET_BYTES, Secrets, digest};
use super::{AuthMethod, Identity};

/// Who may log in with a ticket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TicketConfig {
    /// The principals by authid.
    pub principals: BTreeMap<String, TicketPrincipal>,
}

/// One principal of method `ticket`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TicketPrincipal {
    /// The one or two tickets that are valid.
    pub tickets: Secrets,
    /// The role that the session gets.
    pub role: ByteString,
}

/// The principals as they are asked at login: fingerprints instead of tickets.
#[derive(Debug)]
pub(super) struct Tickets {
    fingerprint: KeyedHash,
    holders: HashMap<Box<str>, Holder>,
    nobody: Holder,
}

/// What is known of one principal. `nobody` stands in for those who do not exist: it is compared
/// with like any other and never matches.
#[derive(Debug, Clone)]
struct Holder {
    role: ByteString,
    fingerprints: [[u8; 32]; 2],
    exists: bool,
}

/// A client that said who it is and owes the ticket.
#[derive(Debug)]
pub(super) struct ExpectedTicket {
    fingerprint: KeyedHash,
    holder: Holder,
}

impl Tickets {
    pub(super) fn prepare(config: &TicketConfig, key: &DecoyKey) -> Self {
        // Tickets have different lengths; their fingerprints have one, and a comparison of
        // fingerprints tells nothing about how much of a ticket was right.
        let fingerprint = key.derive("ticket");
        let holder = |principal: &TicketPrincipal| Holder {
            role: principal.role.clone(),
            fingerprints: principal
                .tickets
                .pair(|ticket| digest(&fingerprint, &[ticket.as_bytes()])),
            exists: true,
        };
        let holders = config
            .principals
            .iter()
            .map(|(authid, principal)| (authid.as_str().into(), holder(principal)))
            .collect();
        let nobody = Holder {
            role: ByteString::new(),
            fingerprints: [[0; 32]; 2],
            exists: false,
        };
        Self {
            fingerprint,
            holders,
            nobody,
        }
    }

    /// What `authid` has to show, whether or not there is such a principal.
    pub(super) fn expect(&self, authid: &str) -> (Identity, ExpectedTicket) {
        let holder = self.holders.get(authid).unwrap_or(&self.nobody).clone();
        let identity = Identity {
            authid: authid.into(),
            authrole: holder.role.clone(),
            method: AuthMethod::Ticket,
            realm: None,
        };
        (
            identity,
            ExpectedTicket {
                fingerprint: self.fingerprint.clone(),
                holder,
            },
        )
    }
}

impl ExpectedTicket {
    pub(super) fn is(&self, ticket: &str) -> bool {
        if ticket.len() > MAX_SECRET_BYTES {
            return false;
        }
        let shown = digest(&self.fingerprint, &[ticket.as_bytes()]);
        let [first, second] = &self.holder.fingerprints;
        let valid = shown.ct_eq(first) | shown.ct_eq(second);
        (valid & Choice::from(u8::from(self.holder.exists))).into()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Secret;
    use super::*;

    fn tickets() -> Tickets {
        let secret = |text: &str| Secret::new(text).unwrap();
        let principal = |tickets| TicketPrincipal {
            tickets,
            role: "frontend".into(),
        };
        let principals = BTreeMap::from([
            (
                "joe".to_owned(),
                principal(Secrets::one(secret("secret!!!"))),
            ),
            (
                "ann".to_owned(),
                principal(Secrets::two(secret("new"), secret("old"))),
            ),
        ]);
        Tickets::prepare(&TicketConfig { principals }, &DecoyKey::from_bytes([7; 32]))
    }

    fn check(authid: &str, ticket: &str, valid: bool) {
        let (identity, expected) = tickets().expect(authid);
        assert_eq!(identity.authid, authid);
        assert_eq!(expected.is(ticket), valid, "{authid} with {ticket:?}");
    }

    #[test]
    fn a_principal_enters_with_its_own_ticket_alone() {
        check("joe", "secret!!!", true);
        check("joe", "secret!!", false);
        check("joe", "secret!!!!", false);
        check("joe", "SECRET!!!", false);
        check("joe", "new", false);
        check("joe", "", false);
    }

    #[test]
    fn two_tickets_are_valid_while_they_are_exchanged() {
        check("ann", "new", true);
        check("ann", "old", true);
        check("ann", "older", false);
    }

    #[test]
    fn who_does_not_exist_enters_with_nothing() {
        check("eve", "secret!!!", false);
        check("eve", "", false);
        check("eve", "\0", false);
        check("eve", &"x".repeat(MAX_SECRET_BYTES + 1), false);
        check("", "", false);
    }

    #[test]
    fn no_ticket_is_kept_as_it_was_configured() {
        let shown = format!("{:?}", tickets());
        assert!(!shown.contains("secret!!!"), "{shown}");
    }
}
