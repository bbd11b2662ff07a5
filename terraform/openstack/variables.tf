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
  default     = "10.61.0.0/24"
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

# What this way of making machines needs. The cloud and its password are read from clouds.yaml or the environment (OS_*).
variable "external_network" {
  type        = string
  description = "Name of the network that leads outwards and gives floating addresses."
}

variable "dns_servers" {
  type        = list(string)
  default     = []
  description = "Name servers of the hosts; none means those of the cloud."
}

variable "image" {
  type        = string
  description = "Name of the cloud's Debian 12 image."
}

variable "sizes" {
  type        = list(object({ name = string, cpus = number, memory_mib = number }))
  description = "Flavors of the cloud, the smallest first: a host gets the first that holds it. `openstack flavor list` shows them."
  validation {
    condition     = length(var.sizes) > 0
    error_message = "sizes names no flavor. `openstack flavor list` shows those of your cloud: write some, the smallest first."
  }
}
