# The plan and the inventory without a cloud: `terraform test` in this folder.
mock_provider "local" {}
mock_provider "hcloud" {
  # What the mocks would make up is text, where the cloud gives numbers.
  mock_resource "hcloud_network" {
    defaults = { id = "1" }
  }
  mock_resource "hcloud_network_subnet" {
    defaults = { id = "1-10.60.0.0/24" }
  }
  mock_resource "hcloud_firewall" {
    defaults = { id = "2" }
  }
  mock_resource "hcloud_ssh_key" {
    defaults = { id = "3" }
  }
  mock_resource "hcloud_server" {
    defaults = { id = "4", ipv4_address = "203.0.113.9" }
  }
  mock_resource "hcloud_volume" {
    defaults = { id = "5", linux_device = "/dev/disk/by-id/scsi-0HC_Volume_5" }
  }
}

variables {
  name                = "mocked"
  allowed_networks    = ["203.0.113.0/24"]
  ssh_public_key_file = "../modules/cluster/tests/key.pub"
}

run "made" {
  assert {
    condition = (
      hcloud_server.node["worker1"].server_type == "cx23" && hcloud_server.node["worker1"].image == "debian-12" &&
      one(hcloud_server.node["worker1"].network).ip == "10.60.0.12" &&
      hcloud_server.node["worker1"].user_data == module.cluster.nodes["worker1"].user_data
    )
    error_message = "A host is a server of its size, with its address and cloud-init."
  }
  assert {
    condition = (
      length(hcloud_firewall.edge.rule) == 1 && one(hcloud_firewall.edge.rule).port == "22" &&
      one(hcloud_firewall.edge.rule).source_ips == toset(["203.0.113.0/24"]) && length(hcloud_firewall.closed.rule) == 0
    )
    error_message = "SSH from named networks, and nothing else."
  }
  assert {
    condition     = length(hcloud_volume.data) == 6 && hcloud_volume.data["worker1-hdfs"].size == 20 && hcloud_volume_attachment.data["worker1-hdfs"].server_id == 4
    error_message = "Hosts with data have their disks."
  }
  assert {
    condition     = hcloud_server.node["edge1"].labels == tomap({ project = "shopfloor", cluster = "mocked", host = "edge1" })
    error_message = "Everything says what it belongs to."
  }
  assert {
    condition     = length(local_file.inventory) == 3
    error_message = "The inventory: hosts, settings, the way in."
  }
}

run "nobody_could_come_in" {
  command = plan
  variables {
    allowed_networks = []
  }
  expect_failures = [var.allowed_networks]
}
