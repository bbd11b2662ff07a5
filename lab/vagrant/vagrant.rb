# What the Vagrantfile does with a profile: reads it, refuses what cannot be, reaches the machines, deploys to them.
require "digest"
require "fileutils"
require "socket"
require "tempfile"
require "vagrant/util/powershell"
require "vagrant/util/subprocess"
require "yaml"

module Shopfloor
  ROOT = File.expand_path("../..", __dir__)
  HEADROOM_MIB = 512 # for the machine itself, beside its hosts

  # Something the user can mend; the message says what is wrong and what to do.
  class Refusal < Vagrant::Errors::VagrantError
    def initialize(text)
      @text = text
      super()
    end

    def error_message
      @text
    end
  end

  # A host of an inventory: name, private address, memory (MiB), number of CPUs.
  Host = Struct.new(:name, :address, :memory_mib, :cpus)

  # An inventory folder, as far as it says what machines there are.
  class Profile
    attr_reader :name, :hosts, :edge, :published

    # Names of the profiles whose machines are still to be made: others say how one logs in.
    def self.names
      all = Dir[File.join(ROOT, "inventories/*/hosts.yml")].map { |path| File.basename(File.dirname(path)) }
      all.sort.select do |name|
        (read(name, "hosts.yml").dig("all", "vars") || {}).none? { |key, _| key.start_with?("ansible_") }
      end
    end

    def self.read(name, file)
      YAML.safe_load_file(File.join(ROOT, "inventories", name, file), aliases: true)
    end

    def initialize(name)
      unless Profile.names.include?(name)
        raise Refusal, "There is no profile #{name} to make machines of. Take one of: #{Profile.names.join(", ")} " \
                       "(PROFILE=#{Profile.names.first} vagrant up)."
      end
      @name = name
      all = Profile.read(name, "hosts.yml")["all"]
      @edge = all.dig("children", "edge", "hosts").to_h.keys.first
      rows = all["hosts"].map do |host, row|
        Host.new(host, row.to_h["ansible_host"], row.to_h["memory_mib"] || 2048, row.to_h["cpus"] || 2)
      end
      # The edge host is the last: it is there that a deployment starts when it cannot start here.
      @hosts = rows.partition { |host| host.name != @edge }.flatten
      @published = Profile.read(name, "group_vars/all.yml")["lab_publish"] || {}
    end

    def memory_mib
      hosts.sum(&:memory_mib)
    end

    # Folder of the files by which Ansible and ssh reach the hosts: that of a lab of this name, so only one can be.
    def connection
      ".lab/#{name}"
    end

    # Name of the bridge to the LXC hosts of this copy of the repository; the kernel takes 15 characters.
    def bridge
      "vg-#{Digest::SHA256.hexdigest(File.join(ROOT, name))[0, 8]}"
    end

    # Address of this machine on that bridge.
    def gateway
      hosts.first.address.to_s.sub(/\d+\z/, "1")
    end

    # Raises when this machine is on such a network already, and so would have two ways to the LXC hosts.
    def refuse_taken_network
      return if File.exist?("/sys/class/net/#{bridge}")
      return if Socket.ip_address_list.none? { |known| known.ip_address == gateway }

      raise Refusal, "#{gateway} is an address of this machine already: hosts of a lab, or of another copy of the " \
                     "repository, have this network. Delete them (there: make destroy or vagrant destroy), or copy " \
                     "inventories/#{name}, give the copy another subnet and other ports, and take it as PROFILE."
    end

    # Raises when the hosts that are to start do not fit into memory.
    def refuse_too_little_memory(starting)
      free = Shopfloor.free_mib
      needed = starting.sum(&:memory_mib)
      return if needed + HEADROOM_MIB <= free

      smaller = Profile.names.map { |other| Profile.new(other) }.select { |other| other.memory_mib < memory_mib }
      fitting = smaller.select { |other| other.memory_mib + HEADROOM_MIB <= free }.max_by(&:memory_mib)
      raise Refusal, "Profile #{name} needs #{needed} MiB of memory for #{starting.map(&:name).join(", ")} and " \
                     "#{HEADROOM_MIB} MiB for this machine; #{free} MiB can be had. " + (
                       if fitting
                         "A smaller one fits: PROFILE=#{fitting.name} vagrant up (#{fitting.memory_mib} MiB)."
                       else
                         "No profile fits: close what uses memory, or take a larger machine."
                       end)
    end

    # Removes the connection files, unless they are those of a lab.
    def forget
      folder = File.join(ROOT, connection)
      return if !Dir.exist?(folder) || File.exist?(File.join(folder, "lab.json"))

      FileUtils.rm_r(folder)
      Dir.rmdir(File.dirname(folder)) if Dir.empty?(File.dirname(folder))
    end

    # Raises when the lab has made these hosts, of the same names and addresses.
    def refuse_lab
      return unless File.exist?(File.join(ROOT, connection, "lab.json"))

      raise Refusal, "Hosts of profile #{name} were made by `make lab`. Delete them first: make destroy PROFILE=#{name}"
    end
  end

  # MiB that virtual machines may take: what is free, or on macOS, which does not tell, all but 2 GiB.
  def self.free_mib
    if Vagrant::Util::Platform.windows?
      free = "(Get-CimInstance Win32_OperatingSystem).FreePhysicalMemory"
      Vagrant::Util::PowerShell.execute_cmd(free).to_i / 1024
    elsif Vagrant::Util::Platform.darwin?
      Vagrant::Util::Subprocess.execute("sysctl", "-n", "hw.memsize").stdout.to_i / 2**20 - 2048
    else
      File.read("/proc/meminfo")[/^MemAvailable: +(\d+)/, 1].to_i / 1024
    end
  end

  # Whether Ansible runs on this machine, or on the edge host. The tools of the control side need Debian or a relative.
  def self.control_here?
    ENV["CONTROL"] != "edge" && Vagrant::Util::Platform.linux? && File.exist?("/etc/debian_version")
  end

  # Runs a command on this machine, in the checkout; what it prints is shown with the machine's name.
  def self.run(ui, *command)
    done = Vagrant::Util::Subprocess.execute(*command, notify: [:stdout, :stderr], workdir: ROOT) do |_, text|
      ui.info(text, new_line: false, prefix: false)
    end
    return if done.exit_code.zero?

    raise Refusal, "`#{command.join(" ")}` ended with exit code #{done.exit_code}; what it printed says why."
  end

  # The bridge by which this machine and its LXC hosts reach each other.
  def self.make_bridge(ui, profile)
    return if File.exist?("/sys/class/net/#{profile.bridge}")

    run(ui, "sudo", "ip", "link", "add", profile.bridge, "type", "bridge")
    run(ui, "sudo", "ip", "address", "add", "#{profile.gateway}/24", "dev", profile.bridge)
    run(ui, "sudo", "ip", "link", "set", profile.bridge, "up")
  end

  # Takes the bridge away when no machine needs it any more.
  def self.delete_bridge(ui, profile)
    run(ui, "sudo", "ip", "link", "delete", profile.bridge) if File.exist?("/sys/class/net/#{profile.bridge}")
  end

  # The one provisioning run, on the last machine for all: what `make deploy` does for any hosts.
  class Deploy < Vagrant.plugin("2", :provisioner)
    def provision
      profile = Profile.new(ENV.fetch("PROFILE"))
      machines = profile.hosts.to_h { |host| [host, machine.env.machine(host.name.to_sym, machine.provider_name)] }
      ways = machines.transform_values(&:ssh_info)
      off = ways.select { |_, way| way.nil? }.keys
      raise Refusal, "#{off.map(&:name).join(", ")} must run to be deployed to: vagrant up" unless off.empty?

      Shopfloor.control_here? ? from_here(profile, machines, ways) : from_edge(profile, ways)
    end

    private

    def from_here(profile, machines, ways)
      folder = File.join(ROOT, profile.connection)
      FileUtils.mkdir_p(folder)
      entries = ways.map do |host, way|
        # Vagrant deletes this folder with the machine, and so what ssh knows of it.
        known = machines[host].data_dir.join("known_hosts")
        entry("#{host.name} #{host.address}", host, way[:username], way[:private_key_path].first, known)
      end
      File.write(File.join(folder, "ssh_config"), entries.join + common)
      File.write(File.join(folder, "inventory.yml"), inventory(folder))
      Shopfloor.run(machine.ui, "make", "deploy", "PROFILE=#{profile.name}")
    end

    # The checkout, without what was made in it, goes to the host's own disk: a shared folder may not hold links, and
    # calls every file executable. data/ stays shared, so that its results come to the user's machine.
    def from_edge(profile, ways)
      home = "/home/#{machine.ssh_info[:username]}/shopfloor"
      folder = "#{home}/#{profile.connection}"
      guest("(command -v make && command -v rsync) >/dev/null || " \
            "(sudo apt-get -q update && sudo apt-get -qy install make rsync)")
      guest("rsync -a --delete --chmod=D755,F644 --exclude=/.git --exclude=/.venv --exclude=/.cache --exclude=/.lab " \
            "--exclude=/.vagrant --exclude=/data /vagrant/ #{home}/ && chmod +x #{home}/tools/bootstrap.sh && " \
            "ln -sfn /vagrant/data #{home}/data && mkdir -p #{folder}")
      known = "#{folder}/known_hosts"
      entries = ways.map do |host, way|
        key = "#{folder}/#{host.name}.key"
        guest("rm -f #{key}")
        machine.communicate.upload(way[:private_key_path].first, key)
        guest("chmod 600 #{key}")
        entry("#{host.name} #{host.address}", host, way[:username], key, known)
      end
      # Brings the UIs to localhost of the edge host, where `make check` looks for them: ssh -F FILE -fN uis
      forwards = profile.published.values.map do |row|
        "  LocalForward 127.0.0.1:#{row["port"]} #{row["host"]}:#{row["target"]}\n"
      end
      user = machine.ssh_info[:username]
      uis = entry("uis", profile.hosts.last, user, "#{folder}/#{profile.edge}.key", known) + forwards.join
      put(entries.join + uis + common, "#{folder}/ssh_config")
      put(inventory(folder), "#{folder}/inventory.yml")
      guest("rm -f #{folder}/known_hosts && make -C #{home} deploy PROFILE=#{profile.name}")
    end

    def guest(command)
      code = machine.communicate.execute(command, error_check: false) do |_, text|
        machine.ui.info(text, new_line: false, prefix: false)
      end
      return if code.zero?

      raise Refusal, "On #{machine.name}, `#{command}` ended with exit code #{code}; what it printed says why."
    end

    def put(text, path)
      Tempfile.create("shopfloor") do |file|
        file.write(text)
        file.close
        machine.communicate.upload(file.path, path)
      end
    end

    def entry(names, host, user, key, known)
      "Host #{names}\n  HostName #{host.address}\n  HostKeyAlias #{host.name}\n  User #{user}\n" \
        "  IdentityFile \"#{key}\"\n  UserKnownHostsFile \"#{known}\"\n"
    end

    # Whoever made the machines a moment ago trusts their keys at first sight, and no others later.
    def common
      "Host *\n  IdentitiesOnly yes\n  BatchMode yes\n  GlobalKnownHostsFile none\n" \
        "  StrictHostKeyChecking accept-new\n  LogLevel ERROR\n  ServerAliveInterval 10\n"
    end

    def inventory(folder)
      variables = { "ansible_user" => "vagrant", "ansible_ssh_common_args" => "-F '#{folder}/ssh_config'" }
      { "all" => { "vars" => variables } }.to_yaml
    end
  end

  # vagrant-lxc 1.4.3, the last one, hands a hash to I18n.t when it forwards ports, which Ruby 3 refuses.
  if Vagrant.has_plugin?("vagrant-lxc")
    I18n.singleton_class.prepend(Module.new { def t(key = nil, hash = {}, **options) = super(key, **hash, **options) })
  end

  class Plugin < Vagrant.plugin("2")
    name "shopfloor"
    provisioner(:shopfloor) { Deploy }
  end
end
