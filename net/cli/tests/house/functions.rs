//! Functions are short enough to be read at once.

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use crate::{read, root, sources};

/// No function has more lines, from its signature to its closing brace.
const MOST_LINES: usize = 80;

/// Of a hundred functions, ninety-nine have at most as many.
const LINES_OF_99_PER_CENT: usize = 50;

#[test]
fn functions_are_short() {
    let mut found = Vec::new();
    for file in sources(&["core/src", "sim/src", "net/service/src", "net/lab/src", "net/cli/src"]) {
        let code = syn::parse_file(&read(&file)).expect("Rust");
        let mut lengths = Lengths::default();
        lengths.visit_file(&code);
        let name = file.strip_prefix(root()).expect("below the root").display().to_string();
        found.extend(
            lengths
                .0
                .into_iter()
                .map(|(function, lines)| (lines, format!("{name}: {function}"))),
        );
    }
    assert!(found.len() > 1000, "{} functions", found.len());
    found.sort();
    found.reverse();
    let p99 = found[found.len() / 100].0;
    println!("{} functions, p99 {p99} lines; the longest:", found.len());
    for (lines, function) in found.iter().take_while(|(lines, _)| *lines > LINES_OF_99_PER_CENT) {
        println!("{lines:>4} {function}");
    }
    assert!(p99 <= LINES_OF_99_PER_CENT, "p99 is {p99} lines");
    assert!(found[0].0 <= MOST_LINES, "{} has {} lines", found[0].1, found[0].0);
}

/// The name and the lines of each function with a body.
#[derive(Default)]
struct Lengths(Vec<(String, usize)>);

impl Lengths {
    fn add(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let (first, last) = (signature.span().start().line, block.span().end().line);
        self.0.push((signature.ident.to_string(), last + 1 - first));
    }
}

impl<'ast> Visit<'ast> for Lengths {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.add(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.add(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(block) = &function.default {
            self.add(&function.sig, block);
        }
        visit::visit_trait_item_fn(self, function);
    }
}
