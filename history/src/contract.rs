//! What every engine must do, as checks. An engine's own tests call [`run`], and [`outlives`] if
//! its events outlive the process; the checks themselves stand in the modules below.

pub(crate) mod desk; //    a realm in small: gives sequences and times, publishes, asks
mod queries; // every keyword, the spec's example, paging
mod model; //   random questions against a naive answer
mod limits; //  retention by count, floors
mod chain; //   what comes before an event
mod ages; //    retention by age
mod topics; //  retention by topic
mod purge; //   what has to go at once
mod newest; //  the newest of every topic
mod lives; //   what must be the same after a restart

use std::path::Path;
use std::sync::Arc;

use crate::filter::Filter;
use crate::store::EventStore;

/// Opens a store that is new each time, with these filters and this store-wide limit.
pub(crate) type Open<'a> = &'a dyn Fn(&[Filter], Option<u64>) -> Arc<dyn EventStore>;

/// Opens the store in a folder, which was closed or dropped before.
pub(crate) type Reopen<'a> = &'a dyn Fn(&Path, &[Filter], Option<u64>) -> Arc<dyn EventStore>;

/// Everything that holds of a store in one life.
pub(crate) fn run(open: Open<'_>) {
    queries::the_example_of_the_specification(open);
    queries::every_keyword_means_what_the_specification_says(open);
    queries::a_publication_counts_only_in_its_history_and_for_those_who_may_see_it(open);
    queries::pages_that_follow_one_another_miss_nothing(open);
    queries::a_page_ends_for_one_of_four_reasons(open);
    queries::events_are_read_as_they_were_stored(open);
    queries::what_is_pending_is_shown_once(open);
    queries::events_out_of_order_are_refused(open);
    queries::a_subscription_has_a_history_where_a_filter_covers_it(open);
    queries::a_subscription_is_found_by_its_id(open);
    model::random_questions_have_the_naive_answer(open);
    limits::a_filter_keeps_its_newest_events(open);
    limits::sequences_that_were_dropped_are_refused_and_later_ones_are_not(open);
    limits::pending_events_count_towards_the_limit(open);
    chain::an_event_that_is_read_forward_names_the_one_before_it(open);
    chain::a_page_tells_what_the_next_one_comes_after(open);
    chain::an_event_that_is_not_taken_is_not_the_last(open);
    chain::the_event_before_any_sequence_is_found(open);
    topics::a_busy_topic_evicts_only_its_own_events(open);
    topics::a_limit_counts_what_the_topics_leave(open);
    topics::topics_have_the_naive_answer(open);
    purge::what_is_purged_is_gone_for_every_filter(open);
    purge::a_purge_takes_only_what_its_subscription_shows(open);
    purge::a_purge_makes_room_within_a_limit_and_shows_nothing_again(open);
    ages::what_is_older_than_max_age_is_gone(open);
    ages::what_is_pending_grows_old_too(open);
    chain::a_history_knows_how_much_there_is(open);
    newest::the_state_is_that_of_any_moment(open);
    newest::what_is_hidden_counts_for_no_topic(open);
    newest::pending_events_belong_to_the_state(open);
    newest::pages_of_a_state_are_of_one_moment(open);
    newest::a_choice_among_too_many_that_are_hidden_says_that_it_is_cut(open);
    newest::a_reader_that_stops_in_a_state_goes_on_where_it_was(open);
}

/// Everything that holds over several lives of a store.
pub(crate) fn outlives(reopen: Reopen<'_>) {
    lives::a_history_is_the_same_after_a_restart(reopen);
    lives::sequences_are_never_given_out_twice(reopen);
    lives::subscriptions_keep_their_ids(reopen);
    lives::a_raised_limit_does_not_revive_what_was_dropped(reopen);
    topics::a_raised_limit_of_topics_does_not_revive_what_was_dropped(reopen);
    purge::what_was_purged_stays_so_and_is_not_taken_for_lost(reopen);
    ages::a_raised_max_age_does_not_revive_what_was_dropped(reopen);
    lives::a_filter_that_returns_has_its_old_events_and_none_from_between(reopen);
    lives::a_filter_that_returns_has_none_of_what_others_kept_of_its_topics(reopen);
    lives::what_was_noted_as_missing_is_told_in_every_life(reopen);
    lives::a_closed_store_takes_nothing_more(reopen);
}
