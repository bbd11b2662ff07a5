# Machines in an OpenStack cloud: a network behind a router, a floating address for the edge host, security groups.
terraform {
  required_version = ">= 1.8"
  required_providers {
    openstack = {
      source  = "terraform-provider-openstack/openstack"
      version = "3.4.0"
    }
    local = {
      source  = "hashicorp/local"
      version = "2.9.0"
    }
  }
}

provider "openstack" {}

module "cluster" {
  source              = "../modules/cluster"
  name                = var.name
  profile             = var.profile
  workers             = var.workers
  network             = var.network
  allowed_networks    = var.allowed_networks
  ssh_public_key_file = var.ssh_public_key_file
  data_disks          = var.data_disks
  sizes               = var.sizes
  edge_address        = openstack_networking_floatingip_v2.edge.address
  machine_ids         = { for name, server in openstack_compute_instance_v2.node : name => server.id }
  # The first 20 characters of its id are the serial number of a virtio disk.
  disk_devices = { for key, volume in openstack_blockstorage_volume_v3.data : key => "/dev/disk/by-id/virtio-${substr(volume.id, 0, 20)}" }
}

locals {
  tags = ["shopfloor", var.name]
  # What the edge host serves itself can be reached at its floating address; the rest comes through SSH.
  open_ports = merge({ ssh = 22 }, {
    for name, ui in module.cluster.published : name => ui.target if ui.host == module.cluster.edge
  })
  openings = {
    for pair in setproduct(keys(local.open_ports), var.allowed_networks) :
    "${pair[0]} from ${pair[1]}" => { port = local.open_ports[pair[0]], cidr = pair[1] }
  }
}

data "openstack_networking_network_v2" "external" {
  name = var.external_network
}

resource "openstack_networking_network_v2" "cluster" {
  name = var.name
  tags = local.tags
}

resource "openstack_networking_subnet_v2" "cluster" {
  name            = var.name
  network_id      = openstack_networking_network_v2.cluster.id
  cidr            = var.network
  dns_nameservers = var.dns_servers
  tags            = local.tags
  # Hosts have addresses below these; the cloud takes its own, for DHCP, from here.
  allocation_pool {
    start = cidrhost(var.network, 240)
    end   = cidrhost(var.network, 254)
  }
}

resource "openstack_networking_router_v2" "cluster" {
  name                = var.name
  external_network_id = data.openstack_networking_network_v2.external.id
  tags                = local.tags
}

resource "openstack_networking_router_interface_v2" "cluster" {
  router_id = openstack_networking_router_v2.cluster.id
  subnet_id = openstack_networking_subnet_v2.cluster.id
}

resource "openstack_networking_secgroup_v2" "cluster" {
  name        = "${var.name}-cluster"
  description = "Hosts of the cluster talk with each other"
  tags        = local.tags
}

resource "openstack_networking_secgroup_rule_v2" "cluster" {
  direction         = "ingress"
  ethertype         = "IPv4"
  remote_group_id   = openstack_networking_secgroup_v2.cluster.id
  security_group_id = openstack_networking_secgroup_v2.cluster.id
}

resource "openstack_networking_secgroup_v2" "edge" {
  name        = "${var.name}-edge"
  description = "SSH and the edge host's UIs from named networks"
  tags        = local.tags
}

resource "openstack_networking_secgroup_rule_v2" "edge" {
  for_each          = local.openings
  description       = each.key
  direction         = "ingress"
  ethertype         = "IPv4"
  protocol          = "tcp"
  port_range_min    = each.value.port
  port_range_max    = each.value.port
  remote_ip_prefix  = each.value.cidr
  security_group_id = openstack_networking_secgroup_v2.edge.id
}

resource "openstack_compute_keypair_v2" "cluster" {
  name       = var.name
  public_key = module.cluster.ssh_public_key
}

resource "openstack_networking_port_v2" "node" {
  for_each   = module.cluster.nodes
  name       = "${var.name}-${each.key}"
  network_id = openstack_networking_network_v2.cluster.id
  security_group_ids = concat(
    [openstack_networking_secgroup_v2.cluster.id],
    each.key == module.cluster.edge ? [openstack_networking_secgroup_v2.edge.id] : []
  )
  tags = local.tags
  fixed_ip {
    subnet_id  = openstack_networking_subnet_v2.cluster.id
    ip_address = each.value.address
  }
}

resource "openstack_compute_instance_v2" "node" {
  for_each    = module.cluster.nodes
  name        = "${var.name}-${each.key}"
  image_name  = var.image
  flavor_name = each.value.size
  key_pair    = openstack_compute_keypair_v2.cluster.name
  user_data   = each.value.user_data
  tags        = local.tags
  network {
    port = openstack_networking_port_v2.node[each.key].id
  }
}

resource "openstack_networking_floatingip_v2" "edge" {
  pool       = var.external_network
  port_id    = openstack_networking_port_v2.node[module.cluster.edge].id
  tags       = local.tags
  depends_on = [openstack_networking_router_interface_v2.cluster]
}

resource "openstack_blockstorage_volume_v3" "data" {
  for_each = module.cluster.data_disks
  name     = "${var.name}-${each.key}"
  size     = each.value.gib
  metadata = { project = "shopfloor", cluster = var.name, host = each.value.node }
}

resource "openstack_compute_volume_attach_v2" "data" {
  for_each    = module.cluster.data_disks
  volume_id   = openstack_blockstorage_volume_v3.data[each.key].id
  instance_id = openstack_compute_instance_v2.node[each.value.node].id
}

# Written last: half a cluster has no inventory, and another apply goes on where this one stopped.
resource "local_file" "inventory" {
  for_each        = module.cluster.files
  filename        = each.key
  content         = each.value
  file_permission = "0644"
  depends_on      = [openstack_compute_instance_v2.node, openstack_compute_volume_attach_v2.data]
}
