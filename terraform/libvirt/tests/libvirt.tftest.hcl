# The plan and the inventory without libvirt: `terraform test` in this folder.
# A wrong name inside a nested attribute is dropped without a word, so the values that matter are looked at one by one.
mock_provider "local" {}
mock_provider "libvirt" {
  mock_resource "libvirt_domain" {
    defaults = { id = 1, uuid = "6a2f41a3-c54c-fce8-32d2-0324e1c32e22" }
  }
}

variables {
  name                = "mocked"
  image               = "debian-12.qcow2"
  ssh_public_key_file = "../modules/cluster/tests/key.pub"
}

run "made" {
  assert {
    condition = (
      libvirt_network.cluster.forward.mode == "nat" &&
      libvirt_network.cluster.ips[0].address == "192.168.60.1" && libvirt_network.cluster.ips[0].prefix == 24
    )
    error_message = "The network leads out and lets nobody in."
  }
  assert {
    condition     = libvirt_pool.cluster.type == "dir" && libvirt_pool.cluster.target.path == "/var/lib/libvirt/images/mocked"
    error_message = "The pool is a folder of the cluster's own."
  }
  assert {
    condition = (
      libvirt_volume.image.create.content.url == "debian-12.qcow2" && libvirt_volume.image.target.format.type == "qcow2" &&
      libvirt_volume.root["worker1"].backing_store.path == libvirt_volume.image.path &&
      libvirt_volume.root["worker1"].backing_store.format.type == "qcow2" &&
      libvirt_volume.root["worker1"].target.format.type == "qcow2" && libvirt_volume.root["worker1"].capacity == 10737418240
    )
    error_message = "Root disks begin as the image."
  }
  assert {
    condition = (
      libvirt_domain.node["worker1"].memory == 1792 && libvirt_domain.node["worker1"].memory_unit == "MiB" &&
      libvirt_domain.node["worker1"].vcpu == 2 && libvirt_domain.node["worker1"].cpu.mode == "maximum" &&
      libvirt_domain.node["worker1"].os.type == "hvm" && libvirt_domain.node["worker1"].features.acpi == true &&
      libvirt_domain.node["worker1"].features.apic != null && libvirt_domain.node["worker1"].running == true &&
      libvirt_domain.node["worker1"].autostart == true && libvirt_domain.node["worker1"].type == "kvm"
    )
    error_message = "A domain has the size that the profile says."
  }
  assert {
    condition = [
      for disk in libvirt_domain.node["worker1"].devices.disks :
      "${disk.source.volume.pool}/${disk.source.volume.volume} ${disk.target.bus} ${disk.target.dev} ${disk.driver.type} ${coalesce(disk.serial, "-")}"
      ] == [
      "mocked/worker1.qcow2 virtio vda qcow2 -",
      "mocked/worker1-hdfs.qcow2 virtio vdb qcow2 worker1-hdfs",
      "mocked/worker1-kafka.qcow2 virtio vdc qcow2 worker1-kafka",
      "mocked/worker1-seed.iso virtio vdz raw -",
    ]
    error_message = "Root, data and cloud-init, in this order."
  }
  assert {
    condition     = libvirt_domain.node["worker1"].devices.disks[3].read_only == true && length(libvirt_domain.node["edge1"].devices.disks) == 2
    error_message = "The seed is only read; the edge host keeps no data."
  }
  assert {
    condition = (
      libvirt_domain.node["worker1"].devices.interfaces[0].source.network.network == "mocked" &&
      libvirt_domain.node["worker1"].devices.interfaces[0].model.type == "virtio" &&
      libvirt_domain.node["worker1"].devices.consoles[0].target.type == "serial"
    )
    error_message = "One interface in the cluster's network, and a console."
  }
  assert {
    condition = (
      libvirt_cloudinit_disk.seed["worker1"].user_data == module.cluster.nodes["worker1"].user_data &&
      yamldecode(libvirt_cloudinit_disk.seed["worker1"].network_config).ethernets.cluster.addresses == ["192.168.60.12/24"] &&
      libvirt_volume.seed["worker1"].create.content.url == libvirt_cloudinit_disk.seed["worker1"].path
    )
    error_message = "cloud-init gives the host its name, its user and its address."
  }
  assert {
    condition     = libvirt_volume.data["worker1-hdfs"].capacity == 21474836480 && length(libvirt_volume.data) == 6
    error_message = "Hosts with data have their disks."
  }
  assert {
    condition     = length(local_file.inventory) == 3
    error_message = "The inventory: hosts, settings, the way in."
  }
}
