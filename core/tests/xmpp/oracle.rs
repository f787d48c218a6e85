//! Valid documents and their mutations: our XML reader and `rxml` agree about each.

use proptest::prelude::*;
use tandem_core::xmpp::xml::Document;

#[path = "../../fuzz/src/xml.rs"]
#[allow(unreachable_pub, reason = "it is a module of a library there")]
mod xml;

#[test]
fn what_must_be_refused_is_refused_by_both() {
    for bad in [
        "<!DOCTYPE a><a/>",
        "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>",
        "<a>&b;</a>",
        "<a>&amp</a>",
        "<a>&;</a>",
        "<a>&#0;</a>",
        "<a>&#xFFFE;</a>",
        "<a>&#xD800;</a>",
        "<a>&#x+41;</a>",
        "<a>&#000000065;</a>",
        "<a><!-- c --></a>",
        "<a><?b?></a>",
        "<a/><b/>",
        "<a>]]></a>",
        "<a>\u{1}</a>",
        "<a>\u{ffff}</a>",
        "<a b='\u{b}'/>",
        "<a b='<'/>",
        "<a b='1' b='2'/>",
        "<a b='1'c='2'/>",
        "<a b=1/>",
        "<a b/>",
        "<a b='1/>",
        "<a / >",
        "< a/>",
        "<a></b>",
        "<a></a b='1'>",
        "<a",
        "<a>",
        "<a>text",
        "</a>",
        "",
        " <a/>",
        "text",
        "<1/>",
        "<a:b/>",
        "<a b:c='1'/>",
        "<:a/>",
        "<a:/>",
        "<a:b:c xmlns:a='1'/>",
        "<a xmlns:b=''/>",
        "<a xmlns:xml='1'/>",
        "<a xmlns:xmlns='1'/>",
        "<a xmlns='http://www.w3.org/XML/1998/namespace'/>",
        "<a xmlns:b='1' xmlns:c='1' b:d='2' c:d='3'/>",
        "<xmlns:a/>",
        "<a><b xmlns:c='1'/><c:d/></a>",
        "<a><![CDATA[</a>",
        "<a><![cdata[]]></a>",
    ] {
        assert!(Document::read(bad.as_bytes()).is_err(), "{bad}");
        xml::run(bad.as_bytes());
    }
    for bad in [
        &b"<a>\xff</a>"[..],
        b"<a>\xc8</a>",
        b"<a\xc0\x80/>",
        b"<a>\xed\xa0\x80</a>",
    ] {
        assert!(Document::read(bad).is_err(), "{bad:?}");
        xml::run(bad);
    }
}

#[test]
fn what_is_right_is_read_alike() {
    for good in [
        "<a/>",
        "<a\n\tb = 'c'  />",
        "<a></a \r\n>",
        "<a>&lt;&gt;&amp;&apos;&quot;&#65;&#x41;&#x00000041;&#xD;</a>",
        "<a><![CDATA[<b>&amp;]]]]><![CDATA[>]]>x\r\ny\rz</a>",
        "<a b='\t\n\r\n&#9;&#10;\"&gt;>'/>",
        "<a xmlns='x' xmlns:b='y' b:c='1' c='2' xml:lang='en'><b:d xmlns:b='z'/><b:e/></a>",
        "<a xmlns:xml='http://www.w3.org/XML/1998/namespace'/>",
        "<a xmlns='x'><b xmlns=''/></a>",
        "<ä.-_·>ö\u{10ffff}]] ></ä.-_·>",
    ] {
        assert!(
            Document::read(good.as_bytes()).is_ok(),
            "{good}: {:?}",
            Document::read(good.as_bytes())
        );
        xml::run(good.as_bytes());
    }
}

fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[ -%'-;=-~]{0,6}",
        "\\PC{0,3}",
        prop::sample::select(vec![
            "&amp;",
            "&lt;",
            "&#9;",
            "&#x10FFFF;",
            "\r\n",
            "\r",
            "\t",
            "]]",
            "]]&gt;",
            "<![CDATA[<&>]]>",
            "<![CDATA[]]]>",
            "\u{200}",
        ])
        .prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat())
}

fn attribute() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "a",
        "b",
        "p:a",
        "q:a",
        "xml:lang",
        "xmlns",
        "xmlns:p",
        "xmlns:q",
        "xmlns:xml",
        "é",
    ]);
    (name, "( |=|\"|&amp;|[a-z]|\t|\n|é|>){0,4}", "[ \n]{1,2}", "( ?=|= ?)")
        .prop_map(|(name, value, space, equals)| format!("{space}{name}{equals}'{value}'"))
}

fn element() -> impl Strategy<Value = String> {
    let name = || prop::sample::select(vec!["a", "b", "p:a", "q:b", "a-b.c", "_1", "é"]);
    let attributes = || prop::collection::vec(attribute(), 0..4).prop_map(|attributes| attributes.concat());
    let leaf = (name(), attributes(), text()).prop_map(|(name, attributes, text)| match text.as_str() {
        "" => format!("<{name}{attributes}/>"),
        text => format!("<{name}{attributes}>{text}</{name} >"),
    });
    leaf.prop_recursive(5, 24, 4, move |inner| {
        let parts = prop::collection::vec((text(), inner), 0..4);
        (name(), attributes(), parts).prop_map(|(name, attributes, parts)| {
            let inner: String = parts.into_iter().map(|(text, element)| text + &element).collect();
            format!("<{name} xmlns:p='1' xmlns:q='2'{attributes}>{inner}</{name}>")
        })
    })
}

/// Takes bytes away and puts others in, most of them such as mean something.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let pieces: Vec<&[u8]> = vec![
        b"<",
        b">",
        b"/",
        b"</",
        b"/>",
        b"&",
        b";",
        b"&#x",
        b"'",
        b"\"",
        b"=",
        b" ",
        b"\r",
        b"\n",
        b":",
        b"xmlns",
        b"<!",
        b"<?",
        b"<!--",
        b"-->",
        b"]]>",
        b"<![CDATA[",
        b"\0",
        b"\x01",
        b"\xc8",
        b"\xc8\x80",
        b"\xff",
        b"\xef\xbf\xbe",
        b"a",
        b"1",
    ];
    let edit = (any::<prop::sample::Index>(), 0_usize..4, prop::sample::select(pieces));
    (element(), prop::collection::vec(edit, 1..4)).prop_map(|(element, edits)| {
        let mut bytes = element.into_bytes();
        for (at, taken, put) in edits {
            let at = at.index(bytes.len() + 1);
            let end = (at + taken).min(bytes.len());
            bytes.splice(at..end, put.iter().copied());
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn valid_documents_are_read_alike(text in element()) {
        xml::run(text.as_bytes());
    }

    #[test]
    fn mutated_documents_are_accepted_or_refused_alike(bytes in mutated()) {
        xml::run(&bytes);
    }
}
