"""Tables of what people decide: approvals, their answers, holds, and the rules that decide for them."""
