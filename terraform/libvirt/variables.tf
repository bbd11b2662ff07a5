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
  default     = "192.168.60.0/24"
  description = "The cluster's own network, an IPv4 /24 that this machine uses for nothing else."
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

# What this way of making machines needs.
variable "uri" {
  type        = string
  default     = "qemu:///system"
  description = "Address of libvirt."
}

variable "image" {
  type        = string
  description = "Debian 12's cloud image for this machine's architecture (generic, qcow2): a path or an address."
}

variable "folder" {
  type        = string
  default     = "/var/lib/libvirt/images"
  description = "Where the folder with the cluster's disks is made, on the machine of libvirt."
}

variable "root_gib" {
  type        = number
  default     = 10
  description = "GiB that the root disk of a host may grow to."
}

variable "domain_type" {
  type        = string
  default     = "kvm"
  description = "kvm; or qemu, which works without hardware virtualisation and is far too slow to deploy to."
}
