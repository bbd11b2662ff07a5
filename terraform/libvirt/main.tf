# Machines on a libvirt host: one network that only this host reaches, one pool of disks, a domain for each host.
terraform {
  required_version = ">= 1.8"
  required_providers {
    libvirt = {
      source  = "dmacvicar/libvirt"
      version = "0.9.7"
    }
    local = {
      source  = "hashicorp/local"
      version = "2.9.0"
    }
  }
}

provider "libvirt" {
  uri = var.uri
}

module "cluster" {
  source              = "../modules/cluster"
  name                = var.name
  profile             = var.profile
  workers             = var.workers
  network             = var.network
  ssh_public_key_file = var.ssh_public_key_file
  data_disks          = var.data_disks
  machine_ids         = { for name, domain in libvirt_domain.node : name => domain.uuid }
  disk_devices        = { for key, volume in libvirt_volume.data : key => "/dev/disk/by-id/virtio-${key}" }
}

locals {
  gib     = pow(1024, 3)
  gateway = cidrhost(var.network, 1)
  letters = { hdfs = "vdb", kafka = "vdc" }
  disks = {
    for name in keys(module.cluster.nodes) : name => {
      for key, disk in module.cluster.data_disks : key => local.letters[disk.product] if disk.node == name
    }
  }
}

# NAT: the hosts reach out, and only this machine reaches in. So there is no firewall to write.
resource "libvirt_network" "cluster" {
  name      = var.name
  autostart = true
  forward   = { mode = "nat" }
  ips       = [{ address = local.gateway, prefix = 24 }]
}

resource "libvirt_pool" "cluster" {
  name   = var.name
  type   = "dir"
  target = { path = "${var.folder}/${var.name}" }
}

resource "libvirt_volume" "image" {
  name   = "debian-12.qcow2"
  pool   = libvirt_pool.cluster.name
  target = { format = { type = "qcow2" } }
  create = { content = { url = var.image } }
}

resource "libvirt_volume" "root" {
  for_each      = module.cluster.nodes
  name          = "${each.key}.qcow2"
  pool          = libvirt_pool.cluster.name
  capacity      = var.root_gib * local.gib
  target        = { format = { type = "qcow2" } }
  backing_store = { path = libvirt_volume.image.path, format = { type = "qcow2" } }
}

resource "libvirt_volume" "data" {
  for_each = module.cluster.data_disks
  name     = "${each.key}.qcow2"
  pool     = libvirt_pool.cluster.name
  capacity = each.value.gib * local.gib
  target   = { format = { type = "qcow2" } }
}

resource "libvirt_cloudinit_disk" "seed" {
  for_each  = module.cluster.nodes
  name      = "${var.name}-${each.key}"
  user_data = each.value.user_data
  meta_data = yamlencode({ instance-id = "${var.name}-${each.key}", local-hostname = each.key })
  # The address is the host's own business: a reservation in the network would change the network with each host.
  network_config = yamlencode({
    version = 2
    ethernets = {
      cluster = {
        match       = { name = "en*" }
        addresses   = ["${each.value.address}/24"]
        routes      = [{ to = "0.0.0.0/0", via = local.gateway }]
        nameservers = { addresses = [local.gateway] }
      }
    }
  })
}

resource "libvirt_volume" "seed" {
  for_each = module.cluster.nodes
  name     = "${each.key}-seed.iso"
  pool     = libvirt_pool.cluster.name
  create   = { content = { url = libvirt_cloudinit_disk.seed[each.key].path } }
  lifecycle {
    # The provider cannot change what a volume was made from.
    replace_triggered_by = [libvirt_cloudinit_disk.seed[each.key]]
  }
}

resource "libvirt_domain" "node" {
  for_each    = module.cluster.nodes
  name        = "${var.name}-${each.key}"
  title       = "${each.key} of the Shopfloor cluster ${var.name}"
  type        = var.domain_type
  running     = true
  autostart   = true
  vcpu        = each.value.cpus
  memory      = each.value.memory_mib
  memory_unit = "MiB"
  cpu         = { mode = "maximum" }
  os          = { type = "hvm" }
  features    = { acpi = true, apic = {} }
  devices = {
    disks = concat(
      [{
        source = { volume = { pool = libvirt_pool.cluster.name, volume = libvirt_volume.root[each.key].name } }
        target = { dev = "vda", bus = "virtio" }
        driver = { type = "qcow2" }
      }],
      [for key, letter in local.disks[each.key] : {
        source = { volume = { pool = libvirt_pool.cluster.name, volume = libvirt_volume.data[key].name } }
        target = { dev = letter, bus = "virtio" }
        driver = { type = "qcow2" }
        serial = key
      }],
      [{
        device    = "disk"
        read_only = true
        source    = { volume = { pool = libvirt_pool.cluster.name, volume = libvirt_volume.seed[each.key].name } }
        target    = { dev = "vdz", bus = "virtio" }
        driver    = { type = "raw" }
      }],
    )
    interfaces = [{
      model  = { type = "virtio" }
      source = { network = { network = libvirt_network.cluster.name } }
    }]
    consoles = [{ target = { type = "serial", port = 0 } }]
  }
}

# Written last: half a cluster has no inventory, and another apply goes on where this one stopped.
resource "local_file" "inventory" {
  for_each        = module.cluster.files
  filename        = each.key
  content         = each.value
  file_permission = "0644"
  depends_on      = [libvirt_domain.node]
}
