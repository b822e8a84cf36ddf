//! `lab doctor`: what is there and what each stack needs.

pub fn report(_options: &crate::stack::StackOptions) -> String {
    String::new()
}
