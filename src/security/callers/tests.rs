//! Tests of the parent module.

use super::*;

const TENANT: &str = "00000000-0000-4000-8000-000000000001";

#[test]
fn a_caller_is_known_by_any_of_its_names_and_tokens_and_may_only_what_is_written() {
    let token = hex::encode(hashes::hash("secret"));
    let text = format!(
        "[[caller]]\nname = \"orders\"\ncertificates = [\"spiffe://erp/orders\", \"Orders.erp.example\"]\n\
         tokens_sha256 = [\"{token}\"]\nservices = [\"entitlement\", \"ext-authz\"]\ntenants = [\"{TENANT}\"]\n\
         modules = [\"orders\"]\n"
    );
    let callers = Callers::parse(&text, None).unwrap();
    let caller = callers.by_token("secret").unwrap();
    for names in [
        ["x".to_owned(), "spiffe://erp/orders".to_owned()],
        ["x".to_owned(), "orders.erp.example".to_owned()],
    ] {
        assert!(Arc::ptr_eq(caller, callers.by_names(&names).unwrap()));
    }
    assert!(
        callers.by_token("Secret").is_none() && callers.by_name("spiffe://erp/Orders").is_none()
    );
    assert!(
        caller.may_use(CallerService::Entitlement) && !caller.may_use(CallerService::ForwardAuth)
    );
    assert!(caller.may_ask_about(TenantId::parse(TENANT).unwrap()) && !caller.may_ask_about_all());
    assert!(!caller.may_ask_about(TenantId::parse(&TENANT.replace('1', "2")).unwrap()));
    assert!(caller.may_ask_of("orders") && !caller.may_ask_of("finance"));
    assert!(caller.take_turn().is_ok());
}

#[test]
fn what_is_wrong_is_said_with_the_callers_name_and_never_with_a_token() {
    let caller = |rest: &str| format!("[[caller]]\nname = \"orders\"\nservices = []\n{rest}\n");
    let second = |rest: &str| caller(rest).replace("orders", "second");
    let token = |byte: &str| format!("tokens_sha256 = [\"{}\"]", byte.repeat(32));
    for (text, wanted) in [
        (caller(""), "how else is it known"),
        (caller("tokens_sha256 = [\"entadm_secret\"]"), "expected 64 hexadecimal digits"),
        (caller("certificates = [\"a\", \"A\"]"), "certificate \"a\" stands there twice"),
        (
            caller("certificates = [\"a\"]") + &second("certificates = [\"a\"]"),
            "also of the caller \"orders\"",
        ),
        (
            caller(&token("e3")) + &second(&token("E3")),
            "\"second\": a token of it is also of the caller \"orders\"",
        ),
        (
            caller(&format!("tokens_sha256 = [\"{0}\", \"{0}\"]", "e3".repeat(32))),
            "a token of it stands there twice",
        ),
        (caller("certificates = [\"a\"]\ntenants = [\"x\"]"), "\"x\""),
        (caller("certificates = [\"a\"]\nmodules = [\"\"]"), "\"\""),
        (caller("certificates = [\"a\"]\nmodule = [\"x\"]"), "unknown field"),
        (caller("certificates = [\"a\"]").repeat(2), "twice"),
    ] {
        let error = Callers::parse(&text, None).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
        assert!(!error.contains("entadm_") && !error.to_lowercase().contains("e3e3"), "{error}");
    }
}

#[test]
fn a_callers_own_rate_goes_before_the_general_one() {
    let text = "[[caller]]\nname = \"a\"\ncertificates = [\"a\"]\nservices = []\nrate = 3\n\
                [[caller]]\nname = \"b\"\ncertificates = [\"b\"]\nservices = []\n";
    let callers = Callers::parse(text, NonZeroU32::new(1)).unwrap();
    // The allowance is replenished while this runs, so only what comes at once is counted.
    let at_once =
        |name| (0..100).take_while(|_| callers.by_name(name).unwrap().take_turn().is_ok()).count();
    assert!((3..100).contains(&at_once("a")));
    assert!((1..100).contains(&at_once("b")));
}
