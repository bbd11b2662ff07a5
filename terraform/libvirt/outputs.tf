output "addresses" {
  description = "Address of each host by its name."
  value       = { for name, node in module.cluster.nodes : name => node.address }
}

output "commands" {
  description = "What to type next, in the checkout."
  value       = module.cluster.commands
}
