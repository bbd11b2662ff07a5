# What makes a cluster impossible, all of it at once and before anything is made. Each says what to change.
locals {
  hosts_file = "inventories/${var.profile}/hosts.yml"
  profiles   = join(", ", sort([for path in fileset(local.inventories, "*/hosts.yml") : dirname(path)]))
  required = [
    "namenode", "datanode", "kafka_controller", "kafka_broker", "spark_master", "spark_worker", "spark_history", "edge"
  ]
  controllers = length(try(local.members.kafka_controller, []))
  edges       = length(try(local.members.edge, []))
  # Two networks overlap when the larger one holds the first address of the smaller one.
  overlapping = [
    for cidr in var.allowed_networks : cidr if try(
      cidrhost("${split("/", cidr)[0]}/${min(24, split("/", cidr)[1])}", 0) ==
      cidrhost("${split("/", var.network)[0]}/${min(24, split("/", cidr)[1])}", 0), false
    )
  ]
  before = try(file("${local.folder}/hosts.yml"), local.header)

  refusals = local.known ? concat(
    [
      for group in local.required :
      "Group ${group} has no host. Put one into it in ${local.hosts_file}." if length(try(local.members[group], [])) == 0
    ],
    [
      for name, node in local.nodes :
      "\"${name}\" is no host name. Take up to 63 lower-case letters, digits and hyphens, a letter first."
      if !can(regex("^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$", name))
    ],
    [
      for name, node in local.nodes :
      "Host ${name} needs an ansible_host whose last number is from 2 to 199, and memory_mib and cpus in whole numbers."
      if node.number < 2 || node.number > 199 || node.memory_mib < 1 || node.cpus < 1
    ],
    [
      for number, names in { for name, node in local.nodes : node.number => name... } :
      "${join(" and ", sort(names))} end in the same number, ${number}. Give each an address of its own."
      if length(names) > 1
    ],
    [
      for name, fitting in local.sizes :
      "No size holds ${name} (${local.nodes[name].cpus} CPUs, ${local.nodes[name].memory_mib} MiB). Add a larger one to sizes."
      if length(var.sizes) > 0 && length(fitting) == 0
    ],
    [
      for cidr in local.overlapping :
      "${cidr} of allowed_networks overlaps the private network ${var.network}. Give one of them other addresses."
    ],
    compact([
      length(regexall("(?m)^[^#\\n]*\\bansible_host:", local.text)) != length(local.described) ?
      "A name stands twice among the hosts of ${local.hosts_file}. Give each host a name of its own." : "",
      local.controllers > 0 && local.controllers % 2 == 0 ?
      "Group kafka_controller has ${local.controllers} hosts. An even number bears no more failures than one less: take 1, 3 or 5." : "",
      local.edges > 1 ? "Group edge has ${local.edges} hosts. Two would run every job twice: leave one." : "",
      var.workers != null && length(local.workers) == 0 ?
      "Profile ${var.profile} has no worker1 that others could be like. Leave workers out, or take a profile that has one." : "",
      coalesce(var.workers, 100) < length(local.workers) ?
      "Profile ${var.profile} has ${length(local.workers)} workers and ${var.workers} are asked for. Take more, or a smaller profile." : "",
      !startswith(local.before, local.header) ?
      "inventories/${var.name} is there and was not made here. Take another name, or remove that folder if nothing needs it." : "",
    ])
  ) : ["There is no profile ${var.profile}. Take one of: ${local.profiles}."]
}
