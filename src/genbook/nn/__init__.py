"""Networks: the parts that several families share. The first will come with the first deep chapter."""
