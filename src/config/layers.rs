//! Lays the layers of a configuration over one another with the `config` crate: built-in
//! configuration or file, environment, command line. The crate reads keys of the top level as
//! paths in a language of its own and knows no quoting, so everything stands below one key,
//! [`ROOT`]; below it, keys keep their characters and their case.

use config::{Config, Source, ValueKind};
use serde_json::Value;

use super::path::Path;

/// The one key of the top level.
const ROOT: &str = "node";

/// One layer.
#[derive(Debug, Clone)]
pub(super) enum Layer {
    /// A whole tree: objects are merged with what is below them, everything else replaces it.
    Tree(Value),
    /// Single values at paths of plain words and indices.
    Values(Vec<(Path, Value)>),
}

/// The tree that results, the last layer on top.
pub(super) fn merge(layers: Vec<Layer>) -> Result<Value, config::ConfigError> {
    let mut builder = Config::builder();
    for layer in layers {
        builder = builder.add_source(layer);
    }
    builder.build()?.get(ROOT)
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<config::Map<String, config::Value>, config::ConfigError> {
        let collected = match self {
            Self::Tree(tree) => [(ROOT.to_owned(), to_config(tree))].into_iter().collect(),
            Self::Values(values) => values
                .iter()
                .map(|(path, value)| (format!("{ROOT}.{path}"), to_config(value)))
                .collect(),
        };
        Ok(collected)
    }
}

fn to_config(value: &Value) -> config::Value {
    let kind = match value {
        Value::Null => ValueKind::Nil,
        Value::Bool(value) => ValueKind::Boolean(*value),
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(integer), _, _) => ValueKind::I64(integer),
            (_, Some(integer), _) => ValueKind::U64(integer),
            (_, _, float) => ValueKind::Float(float.unwrap_or(f64::NAN)),
        },
        Value::String(text) => ValueKind::String(text.clone()),
        Value::Array(items) => ValueKind::Array(items.iter().map(to_config).collect()),
        Value::Object(map) => ValueKind::Table(
            map.iter()
                .map(|(key, value)| (key.clone(), to_config(value)))
                .collect(),
        ),
    };
    config::Value::new(None, kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_and_values_come_through_as_they_are() {
        let tree = json!({
            "Joe": {"joe@example.com": 1, "a.b": [1, {"C[0]": null}], "": true},
            "a.b.c": "x",
            "big": u64::MAX,
            "negative": -5,
            "half": 0.5,
            "empty": {}, "none": [],
        });
        assert_eq!(merge(vec![Layer::Tree(tree.clone())]).unwrap(), tree);
    }

    #[test]
    fn a_later_layer_changes_single_values_and_leaves_the_others() {
        let tree = json!({"workers": [{"Realms": [{"name": "a"}, {"name": "b", "x": 1}]}]});
        let path = Path::root()
            .key("workers")
            .index(0)
            .key("Realms")
            .index(1)
            .key("name");
        let merged = merge(vec![
            Layer::Tree(tree),
            Layer::Values(vec![(path, json!("c"))]),
        ])
        .unwrap();
        assert_eq!(
            merged,
            json!({"workers": [{"Realms": [{"name": "a"}, {"name": "c", "x": 1}]}]})
        );
    }

    #[test]
    fn a_later_tree_is_merged_into_objects_and_replaces_lists() {
        let merged = merge(vec![
            Layer::Tree(json!({"a": {"b": 1, "c": 2}, "l": [1, 2]})),
            Layer::Tree(json!({"a": {"b": 3}, "l": [9]})),
        ]);
        assert_eq!(merged.unwrap(), json!({"a": {"b": 3, "c": 2}, "l": [9]}));
    }
}
