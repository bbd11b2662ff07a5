# Machines in the Hetzner Cloud: servers with a private network, and a firewall that leaves open SSH to the edge host.
terraform {
  required_version = ">= 1.8"
  required_providers {
    hcloud = {
      source  = "hetznercloud/hcloud"
      version = "1.68.0"
    }
    local = {
      source  = "hashicorp/local"
      version = "2.9.0"
    }
  }
}

provider "hcloud" {}

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
  edge_address        = hcloud_server.node[module.cluster.edge].ipv4_address
  machine_ids         = { for name, server in hcloud_server.node : name => server.id }
  disk_devices        = { for key, volume in hcloud_volume.data : key => volume.linux_device }
}

locals {
  labels = { project = "shopfloor", cluster = var.name }
}

resource "hcloud_network" "cluster" {
  name     = var.name
  ip_range = var.network
  labels   = local.labels
}

resource "hcloud_network_subnet" "cluster" {
  network_id   = hcloud_network.cluster.id
  type         = "cloud"
  network_zone = var.network_zone
  ip_range     = var.network
}

resource "hcloud_ssh_key" "cluster" {
  name       = var.name
  public_key = module.cluster.ssh_public_key
  labels     = local.labels
}

# The daemons listen on the private network, so the UIs need no opening of their own: they come through SSH.
resource "hcloud_firewall" "edge" {
  name   = "${var.name}-edge"
  labels = local.labels
  rule {
    description = "SSH"
    direction   = "in"
    protocol    = "tcp"
    port        = "22"
    source_ips  = var.allowed_networks
  }
}

# Without a rule nothing comes in. The public address is for what goes out: Debian's packages.
resource "hcloud_firewall" "closed" {
  name   = "${var.name}-closed"
  labels = local.labels
}

resource "hcloud_server" "node" {
  for_each     = module.cluster.nodes
  name         = "${var.name}-${each.key}"
  server_type  = each.value.size
  image        = var.image
  location     = var.location
  user_data    = each.value.user_data
  ssh_keys     = [hcloud_ssh_key.cluster.id]
  firewall_ids = [each.key == module.cluster.edge ? hcloud_firewall.edge.id : hcloud_firewall.closed.id]
  labels       = merge(local.labels, { host = each.key })

  network {
    subnet_id = hcloud_network_subnet.cluster.id
    ip        = each.value.address
    alias_ips = [] # left out, the network would be detached and attached by every apply
  }
}

resource "hcloud_volume" "data" {
  for_each = module.cluster.data_disks
  name     = "${var.name}-${each.key}"
  size     = each.value.gib
  location = var.location
  labels   = merge(local.labels, { host = each.value.node })
}

resource "hcloud_volume_attachment" "data" {
  for_each  = module.cluster.data_disks
  volume_id = hcloud_volume.data[each.key].id
  server_id = hcloud_server.node[each.value.node].id
  automount = false
}

# Written last: half a cluster has no inventory, and another apply goes on where this one stopped.
resource "local_file" "inventory" {
  for_each        = module.cluster.files
  filename        = each.key
  content         = each.value
  file_permission = "0644"
  depends_on      = [hcloud_server.node, hcloud_volume_attachment.data]
}
