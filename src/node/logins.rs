//! The configured logins, as the actors want them.

use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;

use rewamp_actors::auth::{
    AnonymousConfig, AuthConfig, Authenticators, CraConfig, CraUser, DecoyKey, Salting, Secret,
    SecretError, Secrets, TicketConfig, TicketPrincipal,
};
use thiserror::Error;

use crate::config::checked::{self, Auth};

/// A configured login that nobody could use, or anybody. The configuration's own check finds most.
#[derive(Debug, Error)]
pub(super) enum LoginError {
    /// Its secret is none.
    #[error("the secret of `{authid}`: {error}")]
    Secret {
        /// Whose.
        authid: String,
        /// What is wrong.
        error: SecretError,
    },
    /// It has no secret.
    #[error("`{authid}` has no secret")]
    NoSecret {
        /// Who.
        authid: String,
    },
    /// Its key derivation cannot be.
    #[error("the key derivation of `{authid}`: iterations and keylen have to be at least 1")]
    Derivation {
        /// Whose.
        authid: String,
    },
}

/// Makes the logins of a transport ready. Derives keys, which takes milliseconds each.
///
/// # Errors
/// One of them cannot be.
pub(super) fn prepare(auth: &Auth, decoys: &DecoyKey) -> Result<Arc<Authenticators>, LoginError> {
    let config = AuthConfig {
        anonymous: auth.anonymous.as_ref().map(|anonymous| AnonymousConfig {
            role: anonymous.role.as_str().into(),
            authid: anonymous.authid.as_deref().map(Into::into),
            realm: anonymous.realm.as_deref().map(Into::into),
        }),
        ticket: auth.ticket.as_deref().map(tickets).transpose()?,
        wampcra: auth.wampcra.as_deref().map(cra_users).transpose()?,
    };
    Ok(Arc::new(Authenticators::prepare(config, decoys)))
}

fn tickets(principals: &[checked::TicketPrincipal]) -> Result<TicketConfig, LoginError> {
    let principals = principals.iter().map(|principal| {
        let tickets = secrets(&principal.authid, &principal.tickets)?;
        let role = principal.role.as_str().into();
        Ok((principal.authid.clone(), TicketPrincipal { tickets, role }))
    });
    Ok(TicketConfig {
        principals: principals.collect::<Result<_, _>>()?,
    })
}

fn cra_users(users: &[checked::CraUser]) -> Result<CraConfig, LoginError> {
    let users = users.iter().map(|user| {
        let secrets = secrets(&user.authid, &user.secrets)?;
        let role = user.role.as_str().into();
        let salting = user
            .derivation
            .as_ref()
            .map(|kdf| salting(&user.authid, kdf))
            .transpose()?;
        Ok((
            user.authid.clone(),
            CraUser {
                secrets,
                role,
                salting,
            },
        ))
    });
    Ok(CraConfig {
        users: users.collect::<Result<_, _>>()?,
    })
}

fn salting(authid: &str, derivation: &checked::Derivation) -> Result<Salting, LoginError> {
    let keylen = u16::try_from(derivation.keylen)
        .ok()
        .and_then(NonZeroU16::new);
    match (NonZeroU32::new(derivation.iterations), keylen) {
        (Some(iterations), Some(keylen)) => Ok(Salting {
            salt: derivation.salt.as_str().into(),
            iterations,
            keylen,
        }),
        _ => Err(LoginError::Derivation {
            authid: authid.to_owned(),
        }),
    }
}

fn secrets(authid: &str, secrets: &[checked::Secret]) -> Result<Secrets, LoginError> {
    let secret = |secret: &checked::Secret| {
        Secret::new(secret.reveal()).map_err(|error| LoginError::Secret {
            authid: authid.to_owned(),
            error,
        })
    };
    match secrets {
        [first] => Ok(Secrets::one(secret(first)?)),
        [first, second, ..] => Ok(Secrets::two(secret(first)?, secret(second)?)),
        [] => Err(LoginError::NoSecret {
            authid: authid.to_owned(),
        }),
    }
}
