//! The title of a problem and what it means for a person, in a language.

use super::problem::{AccessProblem, Problem, RequestProblem, ServiceProblem, SessionProblem, SignInProblem};
use crate::words::Words;

/// Title and text.
pub(super) type ProblemMessage<'a> = (&'a str, &'a str);

pub(super) fn message(words: &Words, problem: Problem) -> ProblemMessage<'_> {
    match problem {
        Problem::SignIn(problem) => sign_in(words, problem),
        Problem::Session(problem) => session(words, problem),
        Problem::Access(problem) => access(words, problem),
        Problem::Request(problem) => request(words, problem),
        Problem::Service(problem) => service(words, problem),
    }
}

fn sign_in(words: &Words, problem: SignInProblem) -> ProblemMessage<'_> {
    match problem {
        SignInProblem::InvalidCallback => (&words.invalid_callback_title, &words.invalid_callback_text),
        SignInProblem::Expired => (&words.sign_in_expired_title, &words.sign_in_expired_text),
        SignInProblem::Unknown => (&words.unknown_sign_in_title, &words.unknown_sign_in_text),
        SignInProblem::Cancelled => (&words.cancelled_title, &words.cancelled_text),
        SignInProblem::CodeNotAccepted => (&words.code_not_accepted_title, &words.code_not_accepted_text),
        SignInProblem::TokenNotAccepted => (&words.token_not_accepted_title, &words.token_not_accepted_text),
        SignInProblem::AuthenticationRevoked => {
            (&words.authentication_revoked_title, &words.authentication_revoked_text)
        }
        SignInProblem::InsufficientAuthentication => {
            (&words.authentication_too_weak_title, &words.authentication_too_weak_text)
        }
        SignInProblem::RedirectLoop => (&words.redirect_loop_title, &words.redirect_loop_text),
        SignInProblem::InteractionRequired => (&words.not_signed_in_title, &words.interaction_required_text),
        SignInProblem::ProviderFault => (&words.not_signed_in_title, &words.provider_fault_text),
        SignInProblem::ClientNotAccepted => (&words.not_signed_in_title, &words.client_not_accepted_text),
        SignInProblem::Refused => (&words.not_signed_in_title, &words.refused_text),
    }
}

fn session(words: &Words, problem: SessionProblem) -> ProblemMessage<'_> {
    match problem {
        SessionProblem::Anonymous => (&words.anonymous_title, &words.anonymous_text),
        SessionProblem::InvalidCredentials => (&words.invalid_credentials_title, &words.sign_in_again_text),
        SessionProblem::Ambiguous => (&words.ambiguous_session_title, &words.ambiguous_session_text),
        SessionProblem::InsufficientAuthentication => (&words.step_up_title, &words.step_up_text),
        SessionProblem::Ended => (&words.session_ended_title, &words.sign_in_again_text),
    }
}

fn access(words: &Words, problem: AccessProblem) -> ProblemMessage<'_> {
    match problem {
        AccessProblem::Denied => (&words.denied_title, &words.denied_text),
        AccessProblem::NotAdmitted => (&words.not_admitted_title, &words.not_admitted_text),
        AccessProblem::ProxyNotTrusted => (&words.proxy_not_trusted_title, &words.proxy_not_trusted_text),
        AccessProblem::OriginNotAllowed => (&words.foreign_origin_title, &words.foreign_origin_text),
        AccessProblem::Signature => (&words.signature_title, &words.signature_text),
        AccessProblem::AttributeNotWritable => (&words.not_writable_title, &words.not_writable_text),
    }
}

fn request(words: &Words, problem: RequestProblem) -> ProblemMessage<'_> {
    match problem {
        RequestProblem::ForwardedRequest => (&words.page_address_title, &words.page_address_text),
        RequestProblem::Requirement => (&words.requirement_title, &words.invalid_request_text),
        RequestProblem::Body => (&words.body_title, &words.invalid_request_text),
        RequestProblem::AttributeRejected => (&words.attribute_rejected_title, &words.attribute_rejected_text),
        RequestProblem::LogoutToken => (&words.logout_token_title, &words.invalid_request_text),
        RequestProblem::NoSuchSession => (&words.no_such_session_title, &words.no_such_session_text),
        RequestProblem::TooMany => (&words.too_many_title, &words.too_many_text),
        RequestProblem::Query => (&words.query_title, &words.invalid_request_text),
        RequestProblem::NoSuchUser => (&words.no_such_user_title, &words.no_such_user_text),
        RequestProblem::InvalidTarget => (&words.invalid_target_title, &words.invalid_target_text),
        RequestProblem::NotOffered => (&words.not_offered_title, &words.not_offered_text),
    }
}

fn service(words: &Words, problem: ServiceProblem) -> ProblemMessage<'_> {
    match problem {
        ServiceProblem::ProviderUnavailable => (&words.provider_unavailable_title, &words.not_yours_text),
        ServiceProblem::RenewalUnavailable => (&words.renewal_unavailable_title, &words.not_yours_text),
        ServiceProblem::AuditUnavailable => (&words.audit_unavailable_title, &words.our_fault_text),
        ServiceProblem::StoreUnavailable | ServiceProblem::Timeout => {
            (&words.store_unavailable_title, &words.our_fault_text)
        }
        ServiceProblem::DirectoryUnavailable => (&words.directory_unavailable_title, &words.our_fault_text),
        ServiceProblem::Overloaded => (&words.overloaded_title, &words.overloaded_text),
        ServiceProblem::ProviderFailed => (&words.provider_failed_title, &words.provider_failed_text),
        ServiceProblem::NoCredentials => (&words.no_credentials_title, &words.no_credentials_text),
    }
}
