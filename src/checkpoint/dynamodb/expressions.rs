//! The expressions of a conditional write.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

use crate::checkpoint::dynamodb::item::Item;

/// The condition of a write and its changes, with their placeholders.
///
/// Names are always placeholders, since DynamoDB reserves hundreds of words.
#[derive(Debug, Default)]
pub(crate) struct Expressions {
    conditions: Vec<String>,
    set: Vec<String>,
    remove: Vec<String>,
    add: Vec<String>,
    delete: Vec<String>,
    names: HashMap<String, String>,
    values: Item,
}

impl Expressions {
    /// Adds the condition that an attribute has this value.
    pub(crate) fn if_equal(self, name: &str, value: AttributeValue) -> Self {
        self.if_compared(name, "=", value)
    }

    /// Adds the condition that an attribute has another value.
    pub(crate) fn if_not_equal(self, name: &str, value: AttributeValue) -> Self {
        self.if_compared(name, "<>", value)
    }

    /// Adds the condition that an attribute is less.
    pub(crate) fn if_less(self, name: &str, value: AttributeValue) -> Self {
        self.if_compared(name, "<", value)
    }

    fn if_compared(mut self, name: &str, operator: &str, value: AttributeValue) -> Self {
        let condition = format!("{} {operator} {}", self.name(name), self.value(value));
        self.conditions.push(condition);
        self
    }

    /// Adds the condition that there is no such attribute: none of the row, if it is the key.
    pub(crate) fn if_absent(mut self, name: &str) -> Self {
        let condition = format!("attribute_not_exists({})", self.name(name));
        self.conditions.push(condition);
        self
    }

    /// Adds the condition that one attribute does not exist, or that another is less.
    pub(crate) fn if_absent_or_less(
        mut self,
        absent: &str,
        less: &str,
        value: AttributeValue,
    ) -> Self {
        let (absent, less, value) = (self.name(absent), self.name(less), self.value(value));
        self.conditions.push(format!("(attribute_not_exists({absent}) OR {less} < {value})"));
        self
    }

    /// Adds the condition that a set has this number of elements. An empty set does not exist, and
    /// moto fails at its size.
    pub(crate) fn if_size(mut self, name: &str, size: usize) -> Self {
        if size == 0 {
            return self.if_absent(name);
        }
        let (name, value) = (self.name(name), self.value(AttributeValue::N(size.to_string())));
        self.conditions.push(format!("attribute_exists({name}) AND size({name}) = {value}"));
        self
    }

    pub(crate) fn set(mut self, name: &str, value: AttributeValue) -> Self {
        let change = format!("{} = {}", self.name(name), self.value(value));
        self.set.push(change);
        self
    }

    /// Sets an attribute, or removes it if there is no value.
    pub(crate) fn set_or_remove(self, name: &str, value: Option<AttributeValue>) -> Self {
        match value {
            Some(value) => self.set(name, value),
            None => self.remove(name),
        }
    }

    /// Sets an attribute that does not exist.
    pub(crate) fn set_if_absent(mut self, name: &str, value: AttributeValue) -> Self {
        let (name, value) = (self.name(name), self.value(value));
        self.set.push(format!("{name} = if_not_exists({name}, {value})"));
        self
    }

    pub(crate) fn remove(mut self, name: &str) -> Self {
        let name = self.name(name);
        self.remove.push(name);
        self
    }

    /// Adds to a number, or adds elements to a set.
    pub(crate) fn add(mut self, name: &str, value: AttributeValue) -> Self {
        let change = format!("{} {}", self.name(name), self.value(value));
        self.add.push(change);
        self
    }

    /// Deletes elements from a set.
    pub(crate) fn delete(mut self, name: &str, elements: AttributeValue) -> Self {
        let change = format!("{} {}", self.name(name), self.value(elements));
        self.delete.push(change);
        self
    }

    /// Returns the `ConditionExpression`.
    pub(crate) fn condition(&self) -> Option<String> {
        (!self.conditions.is_empty()).then(|| self.conditions.join(" AND "))
    }

    /// Returns the `UpdateExpression`.
    pub(crate) fn change(&self) -> Option<String> {
        let clauses = [
            ("SET", &self.set),
            ("REMOVE", &self.remove),
            ("ADD", &self.add),
            ("DELETE", &self.delete),
        ];
        let clauses: Vec<_> = clauses
            .into_iter()
            .filter(|(_, changes)| !changes.is_empty())
            .map(|(word, changes)| format!("{word} {}", changes.join(", ")))
            .collect();
        (!clauses.is_empty()).then(|| clauses.join(" "))
    }

    /// Returns the `ExpressionAttributeNames` and the `ExpressionAttributeValues`. DynamoDB refuses
    /// empty ones.
    pub(crate) fn into_placeholders(self) -> (Option<HashMap<String, String>>, Option<Item>) {
        (
            Some(self.names).filter(|names| !names.is_empty()),
            Some(self.values).filter(|values| !values.is_empty()),
        )
    }

    fn name(&mut self, name: &str) -> String {
        let placeholder = format!("#{name}");
        self.names.insert(placeholder.clone(), name.to_owned());
        placeholder
    }

    fn value(&mut self, value: AttributeValue) -> String {
        let placeholder = format!(":v{}", self.values.len());
        self.values.insert(placeholder.clone(), value);
        placeholder
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::dynamodb::item::{n, s};

    #[test]
    fn the_clauses_name_each_attribute_and_value_by_a_placeholder() {
        let write = Expressions::default()
            .if_equal("run", n(7))
            .if_absent("by")
            .if_size("coming", 0)
            .set("state", s("up"))
            .set_or_remove("max", None)
            .set_if_absent("start", s("LATEST"))
            .add("joins", n(1))
            .delete("coming", AttributeValue::Ss(vec!["a".to_owned()]));
        assert_eq!(
            write.condition().unwrap(),
            "#run = :v0 AND attribute_not_exists(#by) AND attribute_not_exists(#coming)"
        );
        assert_eq!(
            write.change().unwrap(),
            "SET #state = :v1, #start = if_not_exists(#start, :v2) REMOVE #max ADD #joins :v3 \
             DELETE #coming :v4"
        );
        let (names, values) = write.into_placeholders();
        assert_eq!((names.unwrap().len(), values.unwrap().len()), (7, 5));
        let nothing = Expressions::default();
        assert_eq!((nothing.condition(), nothing.change()), (None, None));
        assert_eq!(nothing.into_placeholders(), (None, None));
    }

    #[test]
    fn conditions_compare_an_attribute_with_a_value() {
        let write = Expressions::default()
            .if_not_equal("by", s("a"))
            .if_less("epoch", n(3))
            .if_absent_or_less("key", "seen", n(4))
            .if_size("coming", 2);
        assert_eq!(
            write.condition().unwrap(),
            "#by <> :v0 AND #epoch < :v1 AND (attribute_not_exists(#key) OR #seen < :v2) AND \
             attribute_exists(#coming) AND size(#coming) = :v3"
        );
    }
}
