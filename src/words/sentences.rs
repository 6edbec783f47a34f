//! Which sentences there are, and what each is for.

use super::{CivilDate, Direction, Plural, PluralCategory, Text, declare_words};

declare_words! {
    // Problems: a title, and what it means for the person.
    /// Title of the page for an address where there is nothing (404).
    not_found_title,
    /// Its text.
    not_found_text,
    /// Title of the page for an address that people do not open (405).
    no_page_title,
    /// Its text.
    no_page_text,
    /// Before a quotation of the provider's own text.
    provider_says,
    /// Whom to ask, for somebody whose account may not do something. With `{contact}` and `{reference}`.
    ask_for_access,
    /// Whom to ask. With `{contact}` and `{reference}`.
    ask_for_help,
    /// Whom to ask where nobody is named, as `{contact}`.
    operators,
    /// Title: the provider's answer cannot be used.
    invalid_callback_title,
    /// Its text.
    invalid_callback_text,
    /// Title: the sign-in was open for too long.
    sign_in_expired_title,
    /// Its text.
    sign_in_expired_text,
    /// Title: the sign-in belongs to another browser, or is over.
    unknown_sign_in_title,
    /// Its text.
    unknown_sign_in_text,
    /// Title: the person turned back.
    cancelled_title,
    /// Its text.
    cancelled_text,
    /// Title: the authorization code is spent or too old.
    code_not_accepted_title,
    /// Its text.
    code_not_accepted_text,
    /// Title: the ID token did not pass.
    token_not_accepted_title,
    /// Its text.
    token_not_accepted_text,
    /// Title: the session was ended from another place.
    authentication_revoked_title,
    /// Its text.
    authentication_revoked_text,
    /// Title: the provider did not authenticate the person as was asked.
    authentication_too_weak_title,
    /// Its text.
    authentication_too_weak_text,
    /// Title: a site sends the browser back again and again.
    redirect_loop_title,
    /// Its text.
    redirect_loop_text,
    /// Title of four refusals of the provider.
    not_signed_in_title,
    /// Text: the provider wants to ask something.
    interaction_required_text,
    /// Text: a fault of the provider's own.
    provider_fault_text,
    /// Text: the provider does not accept this service as its client.
    client_not_accepted_text,
    /// Text: any other refusal.
    refused_text,
    /// Title: nobody is signed in.
    anonymous_title,
    /// Its text.
    anonymous_text,
    /// Title: credentials that do not count.
    invalid_credentials_title,
    /// Text of this and of a session that is over.
    sign_in_again_text,
    /// Title: two sessions in one browser.
    ambiguous_session_title,
    /// Its text.
    ambiguous_session_text,
    /// Title: a page asks for a newer or stronger sign-in.
    step_up_title,
    /// Its text.
    step_up_text,
    /// Title: the session is over.
    session_ended_title,
    /// Title: a page that this account may not see.
    denied_title,
    /// Its text.
    denied_text,
    /// Title: an account that may not sign in here.
    not_admitted_title,
    /// Its text.
    not_admitted_text,
    /// Title: a site whose proxy is not trusted.
    proxy_not_trusted_title,
    /// Its text.
    proxy_not_trusted_text,
    /// Title: a form of another site.
    foreign_origin_title,
    /// Its text.
    foreign_origin_text,
    /// Title: a wrong signature.
    signature_title,
    /// Its text.
    signature_text,
    /// Title: an attribute that may not be changed here.
    not_writable_title,
    /// Its text.
    not_writable_text,
    /// Title: a page address that is not passed on.
    page_address_title,
    /// Its text.
    page_address_text,
    /// Text of requests that only programs send.
    invalid_request_text,
    /// Title: a requirement that nobody can meet.
    requirement_title,
    /// Title: an unreadable body.
    body_title,
    /// Title: a value that the provider refuses.
    attribute_rejected_title,
    /// Its text.
    attribute_rejected_text,
    /// Title: a logout token that does not count.
    logout_token_title,
    /// Title: a session that is not in the list.
    no_such_session_title,
    /// Its text.
    no_such_session_text,
    /// Title: too many requests.
    too_many_title,
    /// Its text.
    too_many_text,
    /// Title: an unreadable query.
    query_title,
    /// Title: a person of whom nothing is known.
    no_such_user_title,
    /// Its text.
    no_such_user_text,
    /// Title: a sign-in for an unknown service.
    invalid_target_title,
    /// Its text.
    invalid_target_text,
    /// Title: something that is switched off.
    not_offered_title,
    /// Its text.
    not_offered_text,
    /// Title: the provider cannot be reached.
    provider_unavailable_title,
    /// Text of this and of a renewal that fails.
    not_yours_text,
    /// Title: a renewal that fails.
    renewal_unavailable_title,
    /// Title: the audit log cannot be written.
    audit_unavailable_title,
    /// Text of this, and of a store or a directory that cannot be asked.
    our_fault_text,
    /// Title: the session store cannot be asked.
    store_unavailable_title,
    /// Title: the directory cannot be asked.
    directory_unavailable_title,
    /// Title: an overload.
    overloaded_title,
    /// Its text.
    overloaded_text,
    /// Title: an answer of the provider that makes no sense.
    provider_failed_title,
    /// Its text.
    provider_failed_text,
    /// Title: AWS gives no credentials.
    no_credentials_title,
    /// Its text.
    no_credentials_text,

    // Buttons and links.
    /// Button.
    try_again,
    /// Button.
    sign_in,
    /// Button.
    sign_in_again,
    /// Button.
    another_account,
    /// Button.
    another_provider,
    /// Button. With `{host}`.
    back_to,
    /// Button.
    sign_out,
    /// Button.
    start_page,
    /// Button: to the site that people came for.
    go_on,
    /// Link to the account page.
    your_account,
    /// Before the languages to choose from.
    language_choice,
    /// Link.
    privacy,
    /// Link.
    terms,
    /// Link to whom people can ask.
    help,

    // The front page.
    /// Title.
    signed_in,
    /// With `{name}`.
    welcome,
    /// For who is not signed in.
    not_signed_in,

    // Signing out.
    /// Title.
    sign_out_question,
    /// With `{name}`.
    signed_in_as,
    /// What it does.
    sign_out_effect,
    /// A box to tick.
    on_other_devices,
    /// Title.
    signed_out,
    /// In this browser.
    signed_out_here,
    /// On all devices.
    signed_out_everywhere,

    // The account page.
    /// Title of the section with name and other attributes.
    personal_details,
    /// Button that saves a form.
    save,
    /// Link or button that leads to a form.
    change,
    /// Button that sends a code.
    send_code,
    /// Link to where another code can be asked for.
    send_again,
    /// Button that sends a form with a code.
    confirm,
    /// Link back from a form to the account page.
    cancel,
    /// Button that removes something.
    remove,
    /// Behind an address that was confirmed with a code.
    verified,
    /// Behind one that was not.
    not_verified,
    /// In the place of a value that there is none of.
    not_set,
    /// After a change.
    saved,
    /// Label of the attribute `name`.
    name_label,
    /// Label of `given_name`.
    given_name_label,
    /// Label of `family_name`.
    family_name_label,
    /// Label of `middle_name`.
    middle_name_label,
    /// Label of `nickname`.
    nickname_label,
    /// Label of `preferred_username`.
    preferred_username_label,
    /// Label of `gender`.
    gender_label,
    /// Label of `birthdate`.
    birthdate_label,
    /// Label of `address`: where somebody lives.
    address_label,
    /// Label of `locale`.
    locale_label,
    /// Label of `zoneinfo`.
    zoneinfo_label,
    /// Label of `website`.
    website_label,
    /// Label of `profile`: the address of a page about the person.
    profile_label,
    /// Label of `picture`: the address of a picture of the person.
    picture_label,
    /// Label and title.
    email_label,
    /// Label and title.
    phone_label,
    /// Label of a new e-mail address.
    new_email_label,
    /// Label of a new phone number.
    new_phone_label,
    /// Beside a new phone number.
    phone_hint,
    /// Title.
    change_email_title,
    /// Title.
    change_phone_title,
    /// What happens next.
    code_will_come,
    /// With `{address}`.
    code_sent,
    /// Label of a code.
    code_label,
    /// Title.
    password,
    /// Who keeps it.
    password_text,
    /// Button to the provider's page.
    change_password,
    /// For who signs in with another provider. With `{provider}`.
    password_elsewhere,
    /// Title.
    authenticator_app,
    /// State.
    authenticator_on,
    /// State.
    authenticator_off,
    /// Button.
    set_up,
    /// Title.
    authenticator_set_up_title,
    /// What to do.
    authenticator_scan,
    /// Before the secret, for who cannot scan.
    authenticator_secret,
    /// What to type.
    authenticator_code,
    /// Whom to ask without the app. With `{contact}`.
    authenticator_lost,
    /// Title.
    authenticator_remove_title,
    /// What it means.
    authenticator_remove_text,
    /// Title.
    passkeys,
    /// What they are.
    passkeys_text,
    /// Button.
    add_passkey,
    /// In the place of an empty list.
    no_passkeys,
    /// Behind a passkey. With `{date}`.
    added_on,
    /// Title.
    passkey_remove_title,
    /// What it means.
    passkey_remove_text,
    /// Where the browser cannot, or the person turned back.
    passkey_failed,
    /// Title.
    your_sessions,
    /// Mark of the session that asks.
    this_device,
    /// A browser. With `{browser}` and `{system}`.
    browser_on_system,
    /// A browser that says nothing of itself.
    unknown_device,
    /// With `{date}`.
    signed_in_on,
    /// With `{time}`, as "5 minutes ago".
    last_used,
    /// As `{time}`.
    just_now,
    /// Before an IP address.
    address_of_session,
    /// Button that ends a session.
    end_session,
    /// After it.
    session_was_ended,
    /// Link to the sign-out on all devices.
    sign_out_everywhere,
    /// Title.
    connected_accounts,
    /// Where there is none.
    no_connected_accounts,
    /// Title.
    your_data,
    /// What the export is.
    export_text,
    /// Button.
    export,
    /// Title and button.
    delete_account,
    /// What it does.
    delete_text,
    /// What to type. With `{word}`.
    type_to_confirm,
    /// The word to type.
    confirm_word,
    /// Title of the page behind.
    deleted_title,
    /// Its text.
    deleted_text,
    /// Link to the provider's own page for accounts.
    manage_at_provider,
    /// Where the provider lets us change nothing.
    account_elsewhere,

    // What is wrong with a form.
    /// The code is not the one that was sent.
    wrong_code,
    /// It was sent too long ago.
    expired_code,
    /// There were too many attempts.
    too_many_attempts,
    /// Somebody else has the address.
    address_taken,
    /// The provider does not accept a value.
    value_not_accepted,
    /// Not the word that was asked for.
    wrong_word,
    /// The form was open for too long.
    form_expired,

    // The script on pages of siblings.
    /// The session is over.
    notice_ended,
    /// A form was about to be sent without a session.
    notice_not_sent,
    /// The session ends within minutes.
    notice_ends_soon,
    /// Button that closes the notice.
    close,
}
