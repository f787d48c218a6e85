//! The transactions of clients: random ones that are mostly sensible, made from the schema and the database.

use rand::RngExt;
use rand::seq::IndexedRandom;
use serde_json::{Map, Value, json};
use tandem_core::Uuid;
use tandem_sim::switch::{Base, Column, DATABASE, Schema, Switch, TableSchema, Type};

use super::conversation::Talker;

/// The operations of a transaction so far.
#[derive(Default)]
pub(crate) struct Draft {
    operations: Vec<Value>,
    /// Names of rows inserted in it, by table.
    names: Vec<(&'static str, String)>,
}

impl Talker {
    pub(crate) fn transaction(&mut self, switch: &Switch) -> Value {
        self.spoilt = self.chance(65);
        let mut draft = Draft::default();
        for _ in 0..self.rng.random_range(1..4) {
            match self.rng.random_range(0..100) {
                0..38 => drop(self.insert(switch, None, 0, &mut draft)),
                38..46 => self.select(switch, &mut draft),
                46..60 => self.update(switch, &mut draft),
                60..74 => self.mutate(switch, &mut draft),
                74..84 => self.delete(switch, &mut draft),
                84..90 => self.wait(switch, &mut draft),
                _ => self.small(&mut draft),
            }
        }
        let operations = std::iter::once(json!(DATABASE)).chain(draft.operations);
        Value::Array(operations.collect())
    }

    fn small(&mut self, draft: &mut Draft) {
        let operations = [
            json!({"op": "comment", "comment": "hello"}),
            json!({"op": "assert", "lock": "tandem"}),
            json!({"op": "commit", "durable": false}),
            json!({"op": "abort"}),
            json!({"op": "no_such_operation"}),
            json!({"op": "assert", "lock": "tor-agent"}),
            json!({"op": "comment"}),
            json!({"op": "comment", "comment": "hello", "extra": 1}),
            json!(7),
            json!({"op": "insert", "table": "No_Such_Table", "row": {}}),
        ];
        let most = if self.chance(80) { 3 } else { operations.len() };
        draft
            .operations
            .push(operations[..most].choose(&mut self.rng).cloned().expect("some"));
    }

    pub(crate) fn table<'a>(&mut self, schema: &'a Schema) -> &'a TableSchema {
        // The operations of the agent come up most.
        let usual = [
            "Logical_Switch",
            "Ucast_Macs_Remote",
            "Mcast_Macs_Remote",
            "Physical_Locator",
            "Physical_Port",
            "Physical_Locator_Set",
            "Global",
        ];
        if self.chance(60) {
            return &schema.tables[usual.choose(&mut self.rng).expect("some")];
        }
        let tables: Vec<_> = schema.tables.values().collect();
        tables.choose(&mut self.rng).expect("some")
    }

    /// Inserts a row, and rows that it refers to. Answers its name.
    fn insert(&mut self, switch: &Switch, table: Option<&'static str>, depth: u32, draft: &mut Draft) -> String {
        let table = match table {
            Some(name) => &switch.schema().tables[name],
            None => self.table(switch.schema()),
        };
        let mut row = Map::new();
        for column in table.columns.values().filter(|column| !column.name.starts_with('_')) {
            let is_needed = column.ty.min == 1 && !matches!(column.ty.key, Base::Integer { .. } | Base::Boolean);
            if self.chance(if is_needed { 98 } else { 40 }) {
                let datum = self.datum(switch, &column.ty, depth, draft);
                row.insert(column.name.into(), datum);
            }
        }
        if self.spoil(3) {
            row.insert("no_such_column".into(), json!(1));
        }
        let name = format!("row{}", draft.operations.len());
        let mut operation = json!({"op": "insert", "table": table.name, "row": row, "uuid-name": name});
        if self.chance(5) {
            operation["uuid"] = json!(Uuid(self.rng.random()));
        }
        if self.spoil(1) {
            operation["uuid-name"] = json!("row0");
        }
        draft.operations.push(operation);
        draft.names.push((table.name, name.clone()));
        name
    }

    fn select(&mut self, switch: &Switch, draft: &mut Draft) {
        let table = self.table(switch.schema());
        let condition = self.condition(switch, table, draft);
        let mut operation = json!({"op": "select", "table": table.name, "where": condition});
        let columns: Vec<_> = table
            .columns
            .keys()
            .copied()
            .filter(|name| *name != "_version")
            .collect();
        match self.rng.random_range(0..4) {
            0 => {
                // One plain column, sorted by it: the order is certain.
                let plain = |name: &&&str| matches!(table.columns[**name].ty.key, Base::String | Base::Integer { .. });
                if let Some(column) = columns.iter().find(plain) {
                    operation["columns"] = json!([column]);
                    operation["sort"] = json!([column]);
                }
            }
            1 => operation["columns"] = json!([columns[0], columns[1]]),
            2 if self.spoil(10) => operation["columns"] = json!(["no_such_column"]),
            _ => {}
        }
        draft.operations.push(operation);
    }

    fn update(&mut self, switch: &Switch, draft: &mut Draft) {
        let table = self.table(switch.schema());
        let condition = self.condition(switch, table, draft);
        let mutable: Vec<_> = table.columns.values().filter(|column| column.mutable).collect();
        let immutable: Vec<_> = table.columns.values().filter(|column| !column.mutable).collect();
        let mut row = Map::new();
        for _ in 0..2 {
            if let Some(column) = mutable.choose(&mut self.rng) {
                let datum = self.datum(switch, &column.ty, 1, draft);
                row.insert(column.name.into(), datum);
            }
        }
        if self.spoil(5) {
            let column = immutable.choose(&mut self.rng).expect("_uuid at least");
            let datum = self.datum(switch, &column.ty, 9, draft);
            row.insert(column.name.into(), datum);
        }
        draft
            .operations
            .push(json!({"op": "update", "table": table.name, "where": condition, "row": row}));
    }

    fn mutate(&mut self, switch: &Switch, draft: &mut Draft) {
        let table = self.table(switch.schema());
        let columns: Vec<_> = table.columns.values().collect();
        let changeable: Vec<_> = columns
            .iter()
            .copied()
            .filter(|column| column.mutable && !column.ty.is_scalar())
            .collect();
        let condition = self.row_condition(switch, table, draft);
        let mut mutations = Vec::new();
        for _ in 0..self.rng.random_range(1..3) {
            let spoils = self.spoil(6);
            let Some(column) = (if spoils { &columns } else { &changeable })
                .choose(&mut self.rng)
                .copied()
            else {
                continue;
            };
            let is_number = matches!(column.ty.key, Base::Integer { .. }) && column.ty.value.is_none();
            let (mutator, argument) = if is_number && self.chance(60) {
                let mutator = *["+=", "-=", "*=", "/=", "%=", "^="]
                    .choose(&mut self.rng)
                    .expect("some");
                let operands = [0, 1, 2, 7, -1, i64::MAX, i64::MIN];
                // A negative number times zero would be the end of the real server.
                let first = usize::from(mutator == "*=");
                let operand = *operands[first..].choose(&mut self.rng).expect("some");
                (mutator, json!(operand))
            } else if self.chance(50) {
                ("insert", self.datum(switch, &column.ty, 1, draft))
            } else {
                ("delete", self.removable(switch, column, table, draft))
            };
            if let (Some(base), Some(key)) = (column.ty.value, argument.pointer("/1/0/0").cloned()) {
                // The same key with another value: which one wins?
                let pair = json!(["map", [[key, self.atom(switch, base, 9, draft)]]]);
                mutations.push(json!([column.name, "insert", pair]));
            }
            mutations.push(json!([column.name, mutator, argument]));
        }
        draft
            .operations
            .push(json!({"op": "mutate", "table": table.name, "where": condition, "mutations": mutations}));
    }

    /// Something that is in the column of some row; of a map often only its keys.
    fn removable(&mut self, switch: &Switch, column: &Column, table: &TableSchema, draft: &mut Draft) -> Value {
        let there: Vec<_> = switch
            .rows(table.name)
            .filter_map(|(_, row)| row.datum(column.name))
            .filter(|datum| !datum.is_empty())
            .collect();
        let Some(datum) = there.choose(&mut self.rng) else {
            return self.datum(switch, &column.ty, 9, draft);
        };
        let keys: Vec<_> = datum.atoms().take(2).map(|atom| atom.to_json()).collect();
        if column.ty.value.is_some() && self.chance(50) {
            let pairs: Vec<_> = datum
                .pairs()
                .take(1)
                .map(|(key, value)| json!([key.to_json(), value.to_json()]))
                .collect();
            return json!(["map", pairs]);
        }
        json!(["set", keys])
    }

    fn delete(&mut self, switch: &Switch, draft: &mut Draft) {
        let table = self.table(switch.schema());
        let condition = self.condition(switch, table, draft);
        draft
            .operations
            .push(json!({"op": "delete", "table": table.name, "where": condition}));
    }

    fn wait(&mut self, switch: &Switch, draft: &mut Draft) {
        let table = self.table(switch.schema());
        let condition = self.condition(switch, table, draft);
        let until = *["==", "!="].choose(&mut self.rng).expect("some");
        let column = *table
            .columns
            .keys()
            .find(|name| !name.starts_with('_'))
            .expect("a column");
        let rows: Vec<_> = switch
            .rows(table.name)
            .filter_map(|(_, row)| row.datum(column))
            .take(2)
            .collect();
        let ty = &table.columns[column].ty;
        let rows: Vec<_> = rows
            .into_iter()
            .filter(|datum| ty.is_scalar() && datum.len() == 1)
            .filter_map(|datum| datum.only())
            .map(|atom| json!({column: atom.to_json()}))
            .collect();
        let mut operation = json!({"op": "wait", "table": table.name, "where": condition, "columns": [column], "until": until, "rows": rows});
        if self.chance(70) {
            operation["timeout"] = json!(0);
        }
        if self.spoil(5) {
            operation["until"] = json!("<");
        }
        draft.operations.push(operation);
    }

    fn condition(&mut self, switch: &Switch, table: &TableSchema, draft: &mut Draft) -> Value {
        match self.rng.random_range(0..10) {
            0 | 1 => json!([]),
            2..6 => self.row_condition(switch, table, draft),
            _ => {
                let columns: Vec<_> = table.columns.values().collect();
                let column = columns.choose(&mut self.rng).expect("some");
                json!([self.clause(column, Some(switch), draft)])
            }
        }
    }

    /// A condition that one row meets, if there is any.
    fn row_condition(&mut self, switch: &Switch, table: &TableSchema, draft: &mut Draft) -> Value {
        let uuid = self.reference(switch, table.name, 9, draft);
        json!([["_uuid", "==", uuid]])
    }

    pub(crate) fn clause(&mut self, column: &Column, switch: Option<&Switch>, draft: &mut Draft) -> Value {
        let mut functions = vec!["==", "!=", "includes", "excludes"];
        let is_number = matches!(column.ty.key, Base::Integer { .. });
        if (is_number && column.ty.value.is_none() && column.ty.max == 1) || self.spoil(3) {
            functions.extend(["<", "<=", ">", ">="]);
        }
        if self.spoil(2) {
            functions = vec!["~="];
        }
        let function = functions.choose(&mut self.rng).copied().expect("some");
        let argument = match switch {
            Some(switch) => self.datum(switch, &column.ty, 9, draft),
            None => self.unreferring(&column.ty),
        };
        if self.spoil(2) {
            return json!(["no_such_column", function, argument]);
        }
        json!([column.name, function, argument])
    }

    /// A value for a monitor's condition, where rows are named by bogus uuids only.
    fn unreferring(&mut self, ty: &Type) -> Value {
        let plain = |base: Base| {
            if matches!(base, Base::Ref(_)) { Base::Uuid } else { base }
        };
        let ty = Type {
            key: plain(ty.key),
            value: ty.value.map(plain),
            ..ty.clone()
        };
        let pair = (self.plain(ty.key), ty.value.map(|base| self.plain(base)));
        match pair {
            (key, Some(value)) => json!(["map", [[key, value]]]),
            (key, None) => key,
        }
    }

    fn datum(&mut self, switch: &Switch, ty: &Type, depth: u32, draft: &mut Draft) -> Value {
        if self.spoil(1) {
            return json!({"not": "a value"});
        }
        if ty.is_scalar() {
            return self.atom(switch, ty.key, depth, draft);
        }
        let most = if ty.max == 1 && !self.spoil(2) { 1 } else { 3 };
        let count = self.rng.random_range(ty.min..=most);
        let mut elements = Vec::new();
        for _ in 0..count {
            let key = self.atom(switch, ty.key, depth, draft);
            elements.push(match ty.value {
                Some(base) => json!([key, self.atom(switch, base, depth, draft)]),
                None => key,
            });
        }
        if !self.spoil(1) {
            elements.sort_by_key(|element| {
                element
                    .get(0)
                    .filter(|_| ty.value.is_some())
                    .unwrap_or(element)
                    .to_string()
            });
            elements.dedup_by_key(|element| {
                element
                    .get(0)
                    .filter(|_| ty.value.is_some())
                    .unwrap_or(element)
                    .to_string()
            });
        }
        match elements.as_slice() {
            [only] if ty.value.is_none() && self.chance(50) => only.clone(),
            _ => json!([if ty.value.is_some() { "map" } else { "set" }, elements]),
        }
    }

    fn atom(&mut self, switch: &Switch, base: Base, depth: u32, draft: &mut Draft) -> Value {
        match base {
            Base::Ref(table) => self.reference(switch, table, depth, draft),
            Base::Integer { .. } | Base::Boolean | Base::String | Base::Enum(_) | Base::Uuid => self.plain(base),
        }
    }

    fn plain(&mut self, base: Base) -> Value {
        if self.spoil(1) {
            return json!(["x"]);
        }
        match base {
            Base::Integer { min, .. } => {
                let wild = self.spoil(2);
                let number = self.rng.random_range(1..5);
                json!(if wild { 5000 * (number - 2) } else { min.max(0) + number })
            }
            Base::Boolean => self.chance(50).into(),
            Base::String if self.chance(50) => {
                json!(format!("name-{}", self.rng.random_range(0..99)))
            }
            Base::String => json!(
                ["blue", "red", "green", "10.0.0.1", "true", "", "a \"b\" ü"]
                    .choose(&mut self.rng)
                    .expect("some")
            ),
            Base::Enum(words) if !self.spoil(2) => {
                json!(words.choose(&mut self.rng).expect("some"))
            }
            Base::Enum(_) => json!("no_such_word"),
            Base::Uuid | Base::Ref(_) => json!(["uuid", Uuid(self.rng.random_range(0..3))]),
        }
    }

    /// A row of the table: one that is there, one of this transaction, a new one, or one that never was.
    fn reference(&mut self, switch: &Switch, table: &'static str, depth: u32, draft: &mut Draft) -> Value {
        if self.spoil(2) {
            return [
                json!(["named-uuid", "unknown"]),
                json!(["uuid", Uuid(1)]),
                json!(["uuid", "x"]),
            ]
            .choose(&mut self.rng)
            .cloned()
            .expect("some");
        }
        let there: Vec<_> = switch.rows(table).map(|(uuid, _)| uuid).collect();
        let named: Vec<_> = draft
            .names
            .iter()
            .filter(|(of, _)| *of == table)
            .map(|(_, name)| name.clone())
            .collect();
        if !there.is_empty() && self.chance(60) {
            return json!(["uuid", there.choose(&mut self.rng)]);
        }
        if !named.is_empty() && self.chance(60) {
            return json!(["named-uuid", named.choose(&mut self.rng)]);
        }
        if depth < 4 {
            return json!(["named-uuid", self.insert(switch, Some(table), depth + 1, draft)]);
        }
        json!(["uuid", Uuid(2)])
    }
}
