# From a profile to the machines of a cluster: their names, sizes, addresses and cloud-init, and the inventory that
# Ansible reads. It makes nothing by itself and needs no provider; the roots beside it make the machines.
terraform {
  required_version = ">= 1.8"
}

locals {
  inventories = abspath("${path.module}/../../../inventories")
  folder      = "${local.inventories}/${var.name}"
  header      = "# Written by `terraform apply` in terraform/${basename(abspath(path.root))}"

  # The node map is the profile itself: there is no second list of hosts.
  known    = fileexists("${local.inventories}/${var.profile}/hosts.yml")
  text     = local.known ? file("${local.inventories}/${var.profile}/hosts.yml") : "all: {}"
  settings = local.known ? file("${local.inventories}/${var.profile}/group_vars/all.yml") : "{}"
  all      = yamldecode(local.text).all
  groups = {
    for group, row in try(local.all.children, {}) : group => try(keys(row.hosts), [])
  }
  described = {
    for name, row in try(local.all.hosts, {}) : name => {
      number     = try(tonumber(split(".", row.ansible_host)[3]), 0)
      memory_mib = try(tonumber(row.memory_mib), 0)
      cpus       = try(tonumber(row.cpus), 0)
      node_id    = try(tonumber(row.node_id), 0)
      groups     = sort([for group, members in local.groups : group if contains(members, name)])
    }
  }

  # Further workers are like worker1. Their addresses depend on their names only, so that nothing moves when they come.
  workers = [for name in keys(local.described) : name if can(regex("^worker[0-9]+$", name))]
  further = [for i in range(1, coalesce(var.workers, 0) + 1) : i if !contains(local.workers, "worker${i}")]
  nodes = merge(local.described, {
    for i in local.further : "worker${i}" => merge(local.described["worker1"], { number = 100 + i, node_id = 100 + i })
    if contains(local.workers, "worker1")
  })

  # By address, as in the profile.
  order = [
    for key in sort([for name, node in local.nodes : format("%03d %s", node.number, name)]) : split(" ", key)[1]
  ]
  members = {
    for group in keys(local.groups) : group => [for name in local.order : name if contains(local.nodes[name].groups, group)]
  }
  edge      = try(local.members.edge[0], "")
  addresses = { for name, node in local.nodes : name => try(cidrhost(var.network, node.number), "") }
  sizes = {
    for name, node in local.nodes : name => [
      for size in var.sizes : size.name if size.cpus >= node.cpus && size.memory_mib >= node.memory_mib
    ]
  }

  # Which hosts keep data of a product, by the beginning of their groups' names.
  keepers = { hdfs = "^(namenode|datanode|journalnode)$", kafka = "^kafka_" }
  data_disks = merge([
    for product, gib in var.data_disks : {
      for name, node in local.nodes : "${name}-${product}" => {
        node = name, product = product, mount = "/var/lib/${product}", gib = gib
      }
      if anytrue([for group in node.groups : can(regex(local.keepers[product], group))])
    }
  ]...)
  mounts = {
    for name in local.order : name => {
      for key, disk in local.data_disks : disk.mount => var.disk_devices[key]
      if disk.node == name && contains(keys(var.disk_devices), key)
    }
  }

  key        = trimspace(file(pathexpand(var.ssh_public_key_file)))
  uis        = try(yamldecode(local.settings).lab_publish, {})
  ssh_config = "${local.folder}/ssh.cfg"
  variables = {
    ansible_user            = var.ssh_user
    ansible_ssh_common_args = "-F '${local.ssh_config}'"
    # A machine that was just made may need some minutes until it lets us in.
    ansible_ssh_retries = 10
    # Two clusters may have the same addresses: their shared connections must not.
    ansible_control_path_dir = "~/.ansible/cp/${var.name}"
  }
  host_variables = {
    for name, node in local.nodes : name => merge(
      { ansible_host = local.addresses[name], memory_mib = node.memory_mib, cpus = node.cpus },
      node.node_id > 0 ? { node_id = node.node_id } : {},
      { for key, value in { base_disks = local.mounts[name] } : key => value if length(value) > 0 }
    )
  }
}
