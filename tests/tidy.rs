//! The rules of the house, checked on the source text: floors, purity, shape, and the wire format's document.
//!
//! Each check is a pure function from sources to complaints, with a test that shows that it can complain.

#[path = "tidy/documents.rs"]
mod documents;
#[path = "tidy/floors.rs"]
mod floors;
#[path = "tidy/proto.rs"]
mod proto;
#[path = "tidy/purity.rs"]
mod purity;
#[path = "tidy/shape.rs"]
mod shape;
#[path = "tidy/source.rs"]
mod source;

use source::Source;

#[track_caller]
fn assert_clean(complaints: &[String]) {
    assert!(complaints.is_empty(), "{} complaints:\n{}", complaints.len(), complaints.join("\n"));
}

#[test]
fn a_file_imports_only_from_floors_below_its_own() {
    let sources = Source::all();
    assert!(sources.len() > 100, "the sources were not found");
    assert_clean(&floors::complaints(&sources));
}

#[test]
fn protocol_libraries_are_named_only_where_they_belong() {
    assert_clean(&floors::foreign(&Source::all()));
}

#[test]
fn the_core_reads_no_clock_opens_no_socket_and_draws_no_entropy() {
    assert_clean(&purity::complaints(&Source::all()));
}

#[test]
fn every_file_says_what_it_is_and_fits_in_the_head() {
    assert_clean(&shape::complaints(&Source::all()));
}

#[test]
fn every_file_is_part_of_the_program() {
    assert_clean(&shape::dead_files(&Source::all()));
}

#[test]
fn the_protocol_document_shows_the_messages_as_the_code_has_them() {
    let document = source::read("docs/protocol.md");
    assert_clean(&proto::complaints(&Source::all(), &document));
}

#[test]
fn the_documents_name_only_what_is_there() {
    let documents = source::documents();
    assert!(documents.len() > 10, "the documents were not found");
    assert_clean(&documents::dead_links(&documents, source::exists));
    assert_clean(&documents::dead_tests(&documents, &Source::all()));
}
