//! No file imports another in a circle: read in the order of their arrows, files need no look ahead.
//!
//! An arrow leads from a file to the file that defines a name in it; a re-export on the way counts as neither. Tests are
//! left out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Item, ItemMod, UseTree};

use crate::{read, root};

/// The crates, by the folder of their sources.
const CRATES: [&str; 5] = ["core/src", "sim/src", "net/service/src", "net/lab/src", "net/cli/src"];

#[test]
fn no_files_import_each_other_in_a_circle() {
    let mut found = Vec::new();
    for folder in CRATES {
        let tree = Crate::read(&root().join(folder));
        let arrows = arrows(&tree);
        assert!(arrows.len() > 5, "{folder} has arrows");
        for circle in circles(&arrows) {
            let within = circle
                .iter()
                .flat_map(|from| arrows[from].iter().map(move |arrow| (from, arrow)));
            let within = within.filter(|(_, (to, _))| circle.contains(to));
            let lines = within.map(|(from, (to, names))| format!("  {folder}/{from} -> {to}: {}", names.join(", ")));
            found.push(lines.collect::<Vec<_>>().join("\n"));
        }
    }
    assert!(
        found.is_empty(),
        "{} circles of files:\n{}",
        found.len(),
        found.join("\n\n")
    );
}

#[test]
fn a_circle_is_found_through_re_exports_and_macros() {
    let mut tree = Crate::default();
    for (module, text) in [
        ("", "mod a; mod b; pub use a::A;"),
        ("a", "use crate::b::B; pub struct A(B);"),
        ("b", "pub struct B; fn f() { vec![crate::A::new()]; }"),
        ("c", "use crate::a::A; pub struct C(A);"),
    ] {
        let path = module
            .split("::")
            .filter(|name| !name.is_empty())
            .map(String::from)
            .collect();
        tree.add(
            path,
            &format!("{module}.rs"),
            syn::parse_file(text).expect("code").items,
        );
    }
    assert_eq!(circles(&arrows(&tree)), [["a.rs", "b.rs"]]);
}

type Name = Vec<String>;

/// The files of a crate, without its tests.
#[derive(Default)]
struct Crate {
    modules: BTreeMap<Name, Module>,
}

#[derive(Default)]
struct Module {
    file: String,
    defined: BTreeSet<String>,
    /// A name in this module, its meaning, and whether it is a re-export.
    imported: BTreeMap<String, (Name, bool)>,
    globs: Vec<Name>,
    items: Vec<Item>,
}

impl Crate {
    fn read(folder: &Path) -> Self {
        let mut tree = Self::default();
        let file = ["lib.rs", "main.rs"]
            .into_iter()
            .find(|file| folder.join(file).exists())
            .expect("a root");
        tree.read_file(folder, file, &[]);
        tree
    }

    fn read_file(&mut self, folder: &Path, file: &str, module: &[String]) {
        let items = syn::parse_file(&read(&folder.join(file))).expect("Rust").items;
        let children = self.add(module.to_vec(), file, items);
        for child in children {
            let below = [module, &[child]].concat();
            let base = below.join("/");
            let candidates = [format!("{base}.rs"), format!("{base}/mod.rs")];
            let file = candidates.iter().find(|file| folder.join(file).exists());
            self.read_file(folder, file.unwrap_or_else(|| panic!("no file of {base}")), &below);
        }
    }

    /// Takes in a module; answers the modules below that have files of their own.
    fn add(&mut self, path: Name, file: &str, items: Vec<Item>) -> Vec<String> {
        let mut module = Module {
            file: file.to_owned(),
            ..Module::default()
        };
        let mut files = Vec::new();
        for item in items {
            match item {
                Item::Mod(inner) if is_test(&inner) => {}
                Item::Mod(ItemMod {
                    ident, content: None, ..
                }) => files.push(ident.to_string()),
                Item::Mod(ItemMod {
                    ident,
                    content: Some((_, items)),
                    ..
                }) => {
                    let below = [&path[..], &[ident.to_string()]].concat();
                    self.add(below, file, items);
                }
                Item::Use(item) => {
                    let public = !matches!(item.vis, syn::Visibility::Inherited);
                    import(&mut module, &mut Vec::new(), &item.tree, public);
                }
                item => {
                    module.defined.extend(name(&item));
                    module.items.push(item);
                }
            }
        }
        self.modules.insert(path, module);
        files
    }

    /// The file that defines what a path in a module leads to; `None` for other crates, and for modules as such.
    fn resolve(&self, from: &[String], path: &[String], hops: usize) -> Option<&str> {
        let (first, rest) = path.split_first()?;
        let hops = hops.checked_sub(1)?;
        match first.as_str() {
            "crate" => self.walk(Vec::new(), rest, hops),
            "self" => self.walk(from.to_vec(), rest, hops),
            "super" => self.walk(from.split_last()?.1.to_vec(), rest, hops),
            _ => self.walk(from.to_vec(), path, hops),
        }
    }

    fn walk(&self, mut at: Name, path: &[String], hops: usize) -> Option<&str> {
        for (index, name) in path.iter().enumerate() {
            if name == "super" {
                at.pop();
                continue;
            }
            let module = self.modules.get(&at)?;
            let below = [&at[..], std::slice::from_ref(name)].concat();
            if self.modules.contains_key(&below) {
                at = below;
            } else if module.defined.contains(name) {
                return Some(&module.file);
            } else if let Some((target, _)) = module.imported.get(name) {
                return self.resolve(&at, &[target, &path[index + 1..]].concat(), hops);
            } else {
                let globs = module.globs.iter();
                return globs
                    .map(|glob| [glob, &path[index..]].concat())
                    .find_map(|path| self.resolve(&at, &path, hops));
            }
        }
        None
    }
}

/// From each file to the files that it imports, and the names because of which.
type Arrows<'a> = BTreeMap<&'a str, BTreeMap<&'a str, Vec<String>>>;

/// The arrows between the files of a crate.
fn arrows(tree: &Crate) -> Arrows<'_> {
    let mut arrows = Arrows::new();
    for (path, module) in &tree.modules {
        let mut named = Named::default();
        module.items.iter().for_each(|item| named.visit_item(item));
        let uses = module
            .imported
            .values()
            .filter(|(_, public)| !public)
            .map(|(target, _)| target.clone());
        named.paths.extend(uses);
        let others = arrows.entry(&module.file).or_default();
        for target in named.paths {
            if let Some(file) = tree.resolve(path, &target, 16).filter(|file| *file != module.file) {
                let names: &mut Vec<_> = others.entry(file).or_default();
                names.push(target.join("::"));
            }
        }
    }
    arrows
}

/// Every set of files that reach each other.
fn circles<'a>(arrows: &Arrows<'a>) -> Vec<Vec<&'a str>> {
    let reached = |from: &'a str| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
        while let Some(file) = next.pop() {
            let others = arrows.get(file).into_iter().flat_map(BTreeMap::keys);
            next.extend(others.filter(|to| seen.insert(**to)));
        }
        seen
    };
    let reach: BTreeMap<&str, BTreeSet<&str>> = arrows.keys().map(|file| (*file, reached(file))).collect();
    let mut circles = BTreeSet::new();
    for (file, seen) in reach.iter().filter(|(file, seen)| seen.contains(*file)) {
        let back = seen
            .iter()
            .filter(|other| reach.get(*other).is_some_and(|there| there.contains(file)));
        circles.insert(back.copied().collect::<Vec<_>>());
    }
    circles.into_iter().collect()
}

/// Every path that code names, those in macros included.
#[derive(Default)]
struct Named {
    paths: BTreeSet<Name>,
}

impl<'ast> Visit<'ast> for Named {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() {
            self.paths
                .insert(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        self.tokens(mac.tokens.clone());
        visit::visit_macro(self, mac);
    }

    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        if !is_test(module) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let mut module = Module::default();
        import(&mut module, &mut Vec::new(), &item.tree, false);
        self.paths.extend(module.imported.into_values().map(|(path, _)| path));
    }
}

impl Named {
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) if colons == 2 => path.push(ident.to_string()),
                TokenTree::Punct(punct) if punct.as_char() == ':' && !path.is_empty() => {
                    colons += 1;
                    continue;
                }
                TokenTree::Ident(ident) => {
                    self.paths.insert(std::mem::replace(&mut path, vec![ident.to_string()]));
                }
                TokenTree::Group(group) => {
                    self.paths.insert(std::mem::take(&mut path));
                    self.tokens(group.stream());
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {
                    self.paths.insert(std::mem::take(&mut path));
                }
            }
            colons = 0;
        }
        self.paths.insert(path);
    }
}

/// Reads one `use`.
fn import(module: &mut Module, prefix: &mut Name, tree: &UseTree, public: bool) {
    match tree {
        UseTree::Path(path) => {
            prefix.push(path.ident.to_string());
            import(module, prefix, &path.tree, public);
            prefix.pop();
        }
        UseTree::Name(name) if name.ident == "self" => {
            let alias = prefix.last().cloned().unwrap_or_default();
            module.imported.insert(alias, (prefix.clone(), public));
        }
        UseTree::Name(name) => {
            let name = name.ident.to_string();
            let target = [&prefix[..], std::slice::from_ref(&name)].concat();
            module.imported.insert(name, (target, public));
        }
        UseTree::Rename(rename) => {
            let target = [&prefix[..], &[rename.ident.to_string()]].concat();
            module.imported.insert(rename.rename.to_string(), (target, public));
        }
        UseTree::Glob(_) => module.globs.push(prefix.clone()),
        UseTree::Group(group) => group.items.iter().for_each(|tree| import(module, prefix, tree, public)),
    }
}

fn name(item: &Item) -> Option<String> {
    let ident = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        _ => return None,
    };
    Some(ident.to_string())
}

fn is_test(module: &ItemMod) -> bool {
    module.attrs.iter().any(|attribute| {
        let list = attribute.meta.require_list();
        list.is_ok_and(|list| list.path.is_ident("cfg") && list.tokens.to_string() == "test")
    })
}
