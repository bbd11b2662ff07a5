output "nodes" {
  description = "By name of the host: address, groups, cpus, memory_mib, size (null when sizes are free), user_data."
  value = {
    for name, node in local.nodes : name => {
      address    = local.addresses[name]
      groups     = node.groups
      cpus       = node.cpus
      memory_mib = node.memory_mib
      size       = try(local.sizes[name][0], null)
      # A user, its key and the host's name. Python is there, as cloud-init runs on it. The rest is Ansible's.
      user_data = "#cloud-config\n${yamlencode({
        hostname         = name
        manage_etc_hosts = false # Debian's image would write /etc/hosts anew at each boot; it is Ansible's.
        ssh_pwauth       = false
        disable_root     = true
        packages         = ["python3"]
        users = [{
          name                = var.ssh_user
          shell               = "/bin/bash"
          sudo                = "ALL=(ALL) NOPASSWD:ALL"
          lock_passwd         = true
          ssh_authorized_keys = [local.key]
        }]
      })}"
    }
  }
  precondition {
    condition     = length(local.refusals) == 0
    error_message = "This cluster cannot be made:\n${join("\n", formatlist("  - %s", local.refusals))}\nNothing was changed."
  }
}

output "data_disks" {
  description = "By <host>-<product>: node, product, mount (folder on the host), gib."
  value       = local.data_disks
}

output "edge" {
  description = "Name of the edge host, which people reach and which leads on to the others."
  value       = local.edge
}

output "ssh_public_key" {
  description = "The public key itself."
  value       = local.key
}

output "published" {
  description = "The UIs by name: port (on localhost), host, target (port on the host)."
  value       = local.uis
}

output "files" {
  description = "The files of the inventory: content by path."
  value = length(local.refusals) > 0 ? {} : tomap({
    "${local.folder}/hosts.yml" = templatefile("${path.module}/hosts.yml.tftpl", {
      header    = local.header
      profile   = var.profile
      variables = local.variables
      order     = local.order
      hosts     = local.host_variables
      members   = local.members
    })
    "${local.folder}/group_vars/all.yml" = local.settings
    (local.ssh_config) = templatefile("${path.module}/ssh.cfg.tftpl", {
      header       = local.header
      name         = var.name
      path         = local.ssh_config
      order        = local.order
      addresses    = local.addresses
      edge         = local.edge
      edge_address = var.edge_address
      machine_ids  = var.machine_ids
      uis          = local.uis
      user         = var.ssh_user
      key          = trimsuffix(abspath(pathexpand(var.ssh_public_key_file)), ".pub")
    })
  })
}

output "commands" {
  description = "What to type next, in the checkout."
  value = {
    deploy = "make deploy PROFILE=${var.name}"
    uis    = "ssh -F inventories/${var.name}/ssh.cfg -N uis"
    shell  = "ssh -F inventories/${var.name}/ssh.cfg ${local.edge}"
  }
}
