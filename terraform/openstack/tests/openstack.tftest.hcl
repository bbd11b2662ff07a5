# The plan and the inventory without a cloud: `terraform test` in this folder.
mock_provider "local" {}
mock_provider "openstack" {
  mock_resource "openstack_networking_floatingip_v2" {
    defaults = { address = "203.0.113.9" }
  }
  mock_resource "openstack_blockstorage_volume_v3" {
    defaults = { id = "0c51a7b6-11fb-4f42-9c6f-2e0c51a7b611" }
  }
}
override_resource {
  target = openstack_networking_secgroup_v2.edge
  values = { id = "edge" }
}
override_resource {
  target = openstack_networking_secgroup_v2.cluster
  values = { id = "cluster" }
}

variables {
  name                = "mocked"
  allowed_networks    = ["198.51.100.0/24"]
  external_network    = "public"
  image               = "debian-12"
  sizes               = [{ name = "m1.small", cpus = 2, memory_mib = 4096 }]
  ssh_public_key_file = "../modules/cluster/tests/key.pub"
}

run "made" {
  assert {
    condition = (
      openstack_compute_instance_v2.node["worker1"].flavor_name == "m1.small" &&
      openstack_compute_instance_v2.node["worker1"].user_data == module.cluster.nodes["worker1"].user_data &&
      openstack_networking_port_v2.node["worker1"].fixed_ip[0].ip_address == "10.61.0.12"
    )
    error_message = "A host is a server of its size, with its address and cloud-init."
  }
  assert {
    condition = (
      openstack_networking_port_v2.node["worker1"].security_group_ids == toset(["cluster"]) &&
      openstack_networking_port_v2.node["edge1"].security_group_ids == toset(["cluster", "edge"])
    )
    error_message = "Only the edge host is reached from outside."
  }
  assert {
    condition     = { for key, rule in openstack_networking_secgroup_rule_v2.edge : key => "${rule.port_range_min}-${rule.port_range_max}" } == { "ssh from 198.51.100.0/24" = "22-22", "dashboard from 198.51.100.0/24" = "5000-5000" }
    error_message = "SSH and the edge host's UIs, from named networks."
  }
  assert {
    condition     = alltrue([for rule in openstack_networking_secgroup_rule_v2.edge : rule.remote_ip_prefix == "198.51.100.0/24" && rule.direction == "ingress"])
    error_message = "Named networks only."
  }
  assert {
    condition     = length(openstack_blockstorage_volume_v3.data) == 6 && openstack_blockstorage_volume_v3.data["worker1-hdfs"].size == 20 && length(openstack_compute_volume_attach_v2.data) == 6
    error_message = "Hosts with data have their disks."
  }
  assert {
    condition     = openstack_compute_instance_v2.node["edge1"].tags == toset(["shopfloor", "mocked"])
    error_message = "Everything says what it belongs to."
  }
  assert {
    condition     = length(local_file.inventory) == 3
    error_message = "The inventory: hosts, settings, the way in."
  }
}
