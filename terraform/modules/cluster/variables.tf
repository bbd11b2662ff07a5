variable "name" {
  type        = string
  description = "Name of the cluster: of its folder in inventories/, and what the names of its machines begin with."
  validation {
    condition     = can(regex("^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$", var.name))
    error_message = "\"${var.name}\" cannot name a cluster. Take up to 32 lower-case letters, digits and hyphens, a letter first."
  }
}

variable "profile" {
  type        = string
  description = "The folder in inventories/ whose hosts, groups, sizes and settings the cluster gets."
}

variable "workers" {
  type        = number
  default     = null
  description = "How many hosts worker1, worker2, ... there are. Null: as many as the profile has. More are like its worker1."
  validation {
    condition     = var.workers == null || (floor(coalesce(var.workers, 0)) == var.workers && coalesce(var.workers, 0) <= 99)
    error_message = "workers is a whole number up to 99, or null for as many as the profile has."
  }
}

variable "network" {
  type        = string
  description = "The cluster's private network, an IPv4 /24. A host keeps the last number of its address in the profile."
  validation {
    condition     = try(cidrhost(var.network, 0) == split("/", var.network)[0] && endswith(var.network, "/24"), false)
    error_message = "network \"${var.network}\" is no IPv4 network of 256 addresses. Write one like 10.60.0.0/24."
  }
}

variable "allowed_networks" {
  type        = set(string)
  default     = []
  description = "IPv4 networks that people come from; the firewall lets in nobody else."
  validation {
    condition     = alltrue([for cidr in var.allowed_networks : try(cidrhost(cidr, 0) == split("/", cidr)[0], false)])
    error_message = "An entry of allowed_networks is no IPv4 network. Write them like 203.0.113.0/24, one address as 203.0.113.7/32."
  }
  validation {
    condition     = alltrue([for cidr in var.allowed_networks : !endswith(cidr, "/0")])
    error_message = "allowed_networks lets in everybody. The UIs ask for no password: name the networks that people come from."
  }
}

variable "ssh_user" {
  type        = string
  default     = "ops"
  description = "The user that cloud-init makes: Ansible's, who may use sudo without a password."
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,31}$", var.ssh_user)) && var.ssh_user != "root"
    error_message = "ssh_user \"${var.ssh_user}\" cannot be made. Take lower-case letters, digits and hyphens, and not root."
  }
}

variable "ssh_public_key_file" {
  type        = string
  description = "The public half of your SSH key, which lets you in; the private half is beside it, or in your agent."
  validation {
    condition     = fileexists(pathexpand(var.ssh_public_key_file))
    error_message = "There is no file ${var.ssh_public_key_file}. Make a key with `ssh-keygen -t ed25519`, or name another in ssh_public_key_file."
  }
  validation {
    condition     = can(regex("^(ssh|ecdsa|sk)-", file(pathexpand(var.ssh_public_key_file)))) || !fileexists(pathexpand(var.ssh_public_key_file))
    error_message = "${var.ssh_public_key_file} is no public key. Name the file that ends in .pub; the other one must not leave your machine."
  }
}

variable "sizes" {
  type        = list(object({ name = string, cpus = number, memory_mib = number }))
  default     = []
  description = "Machine types of the cloud, the cheapest first: a host gets the first that holds it. Empty: sizes are free."
}

variable "data_disks" {
  type        = map(number)
  default     = {}
  description = "GiB of the disk that each host with data of a product gets for its /var/lib/<product>; keys hdfs and kafka."
  validation {
    condition = alltrue([
      for product, gib in var.data_disks : contains(["hdfs", "kafka"], product) && floor(gib) == gib && gib >= 1
    ])
    error_message = "data_disks holds whole GiB for hdfs and kafka, like { hdfs = 20, kafka = 10 }; {} means no disks."
  }
}

# What is known only when the machines are made; it goes into the inventory.

variable "edge_address" {
  type        = string
  default     = null
  description = "Where the edge host is reached from outside; it leads on to the others. Null: all are reached directly."
}

variable "machine_ids" {
  type        = map(string)
  default     = {}
  description = "By host, what tells this machine from an earlier one of the same name: a new one may have a new host key."
}

variable "disk_devices" {
  type        = map(string)
  default     = {}
  description = "By key of the output data_disks, the disk's device on its host."
}
