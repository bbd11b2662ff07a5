# `terraform test` in this folder; no provider is needed. tools/tests/test_terraform.py holds what needs other profiles.
variables {
  name                = "here"
  profile             = "lab"
  network             = "10.60.0.0/24"
  ssh_public_key_file = "tests/key.pub"
}

run "hosts_are_those_of_the_profile" {
  command = plan
  assert {
    condition     = { for name, node in output.nodes : name => node.address } == { master1 = "10.60.0.11", worker1 = "10.60.0.12", worker2 = "10.60.0.13", edge1 = "10.60.0.14" }
    error_message = "A host keeps the last number of its address."
  }
  assert {
    condition     = output.edge == "edge1" && output.published.dashboard.host == "edge1"
    error_message = "The edge host and the UIs are those of the profile."
  }
}

run "cloud_init_gives_a_user_and_its_key_the_name_and_python_only" {
  command = plan
  assert {
    condition     = startswith(output.nodes["worker1"].user_data, "#cloud-config\n")
    error_message = "cloud-init knows its data by the first line."
  }
  assert {
    condition     = keys(yamldecode(output.nodes["worker1"].user_data)) == ["disable_root", "hostname", "manage_etc_hosts", "packages", "ssh_pwauth", "users"]
    error_message = "Everything else is Ansible's."
  }
  assert {
    condition = (
      yamldecode(output.nodes["worker1"].user_data).hostname == "worker1" &&
      yamldecode(output.nodes["worker1"].user_data).manage_etc_hosts == false &&
      yamldecode(output.nodes["worker1"].user_data).packages == ["python3"] &&
      yamldecode(output.nodes["worker1"].user_data).users[0].ssh_authorized_keys == [trimspace(file("tests/key.pub"))]
    )
    error_message = "Name, Python and key, and hands off /etc/hosts."
  }
}

run "more_workers" {
  command = plan
  variables {
    workers = 11
  }
  assert {
    condition     = [for name in ["master1", "worker1", "worker2", "edge1"] : output.nodes[name].address] == ["10.60.0.11", "10.60.0.12", "10.60.0.13", "10.60.0.14"]
    error_message = "The hosts that were there stay as they are."
  }
  assert {
    condition     = length(output.nodes) == 13 && output.nodes["worker11"].address == "10.60.0.111" && output.nodes["worker11"].groups == output.nodes["worker1"].groups
    error_message = "A further worker is like worker1, and its address follows from its name."
  }
}

run "data_disks_for_those_that_keep_data" {
  command = plan
  variables {
    data_disks = { hdfs = 20, kafka = 10 }
  }
  assert {
    condition     = keys(output.data_disks) == ["master1-hdfs", "master1-kafka", "worker1-hdfs", "worker1-kafka", "worker2-hdfs", "worker2-kafka"]
    error_message = "The edge host keeps none."
  }
  assert {
    condition     = output.data_disks["worker1-kafka"].mount == "/var/lib/kafka" && output.data_disks["worker1-kafka"].gib == 10
    error_message = "A disk is the product's own folder."
  }
}

run "the_smallest_size_that_holds_a_host" {
  command = plan
  variables {
    sizes = [{ name = "tiny", cpus = 2, memory_mib = 1664 }, { name = "small", cpus = 2, memory_mib = 2048 }]
  }
  assert {
    condition     = { for name, node in output.nodes : name => node.size } == { master1 = "tiny", worker1 = "small", worker2 = "small", edge1 = "small" }
    error_message = "Sizes follow from memory_mib and cpus."
  }
}

run "a_size_that_holds_none" {
  command = plan
  variables {
    sizes = [{ name = "tiny", cpus = 1, memory_mib = 8192 }]
  }
  expect_failures = [output.nodes]
}

run "names_that_are_none" {
  command = plan
  variables {
    name     = "My_Cluster"
    ssh_user = "root"
  }
  expect_failures = [var.name, var.ssh_user]
}

run "networks_that_are_none" {
  command = plan
  variables {
    network          = "10.60.0.7/24"
    allowed_networks = ["203.0.113.7/24"]
  }
  expect_failures = [var.network, var.allowed_networks]
}

run "everybody_is_no_named_network" {
  command = plan
  variables {
    allowed_networks = ["0.0.0.0/0"]
  }
  expect_failures = [var.allowed_networks]
}

run "disks_of_unknown_products" {
  command = plan
  variables {
    data_disks = { spark = 5 }
  }
  expect_failures = [var.data_disks]
}
