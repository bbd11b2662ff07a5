output "edge_address" {
  description = "Public address of the edge host."
  value       = hcloud_server.node[module.cluster.edge].ipv4_address
}

output "addresses" {
  description = "Address of each host by its name."
  value       = { for name, node in module.cluster.nodes : name => node.address }
}

output "commands" {
  description = "What to type next, in the checkout."
  value       = module.cluster.commands
}
