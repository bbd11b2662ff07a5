# What the cluster is: handed on to modules/cluster, which checks it.
variable "name" {
  type        = string
  description = "Name of the cluster: of its folder in inventories/, and what the names of its machines begin with."
}

variable "profile" {
  type        = string
  default     = "lab"
  description = "The folder in inventories/ whose hosts, groups, sizes and settings the cluster gets."
}

variable "workers" {
  type        = number
  default     = null
  description = "How many hosts worker1, worker2, ... there are; null: as many as the profile has."
}

variable "network" {
  type        = string
  default     = "10.60.0.0/24"
  description = "The cluster's private network, an IPv4 /24."
}

variable "allowed_networks" {
  type        = set(string)
  description = "IPv4 networks that people come from, like 203.0.113.0/24; the firewall lets in nobody else."
  validation {
    condition     = length(var.allowed_networks) > 0
    error_message = "Nobody could reach the cluster. Name in allowed_networks the networks that people come from."
  }
}

variable "ssh_public_key_file" {
  type        = string
  default     = "~/.ssh/id_ed25519.pub"
  description = "The public half of your SSH key."
}

variable "data_disks" {
  type        = map(number)
  default     = { hdfs = 20, kafka = 10 }
  description = "GiB of the disk that each host with data of a product gets for its /var/lib/<product>."
}

# What this way of making machines needs. The token of the project is read from the environment: HCLOUD_TOKEN.
variable "location" {
  type        = string
  default     = "nbg1"
  description = "Where the servers and volumes are."
}

variable "network_zone" {
  type        = string
  default     = "eu-central"
  description = "The network zone that the location is in."
}

variable "image" {
  type        = string
  default     = "debian-12"
  description = "The operating system's image."
}

variable "sizes" {
  type = list(object({ name = string, cpus = number, memory_mib = number }))
  default = [
    { name = "cx23", cpus = 2, memory_mib = 3700 },
    { name = "cx33", cpus = 4, memory_mib = 7500 },
    { name = "cx43", cpus = 8, memory_mib = 15000 },
    { name = "cx53", cpus = 16, memory_mib = 30000 },
  ]
  description = "Server types, the cheapest first, with the memory that is left for a host: it gets the first that holds it."
}
