#!/bin/bash
# The same work as `make lab`, as the shortest sequence of shell commands: no checks, no idempotence, no second chance.
# It is what bench/deploy.py measures the lab against. Four hosts, 192.168.60.0/24; takes everything away at the end.
# Usage: bare_deploy.sh FOLDER ARCHIVES INPUT   (a folder to make, one archive of each product, the CSVs)
set -euo pipefail
folder=$1 archives=$2 input=$3
bridge=sfbare net=192.168.60
hosts=(master1 worker1 worker2 edge1)
declare -A address=([master1]=$net.11 [worker1]=$net.12 [worker2]=$net.13 [edge1]=$net.14) leader=()
packages=acl,ca-certificates,curl,dbus,iproute2,iputils-ping,less,libpam-systemd,libsnappy1v5,nano,netbase,nftables
packages+=,nginx-light,openjdk-17-jre-headless,openssh-server,procps,python3,python3-apt,rsync,sudo,systemd,systemd-sysv,zstd

clean() {
  for host in "${!leader[@]}"; do kill "${leader[$host]}" 2>/dev/null || true; done
  for host in "${!leader[@]}"; do
    timeout 60 tail --pid="${leader[$host]}" --follow /dev/null || true
    umount "$folder/$host/root" 2>/dev/null || umount --lazy "$folder/$host/root" || true
  done
  ip link delete $bridge 2>/dev/null || true
  rm -rf --one-file-system "$folder"
}
trap clean EXIT

say() { printf '%4d s  %s\n' $SECONDS "$*"; }
on() {  # on HOST COMMAND: in the host's namespaces, as root
  local pid
  pid=$(pgrep --parent "${leader[$1]}" | head -n 1)
  nsenter --target "$pid" --mount --uts --ipc --net --pid --root /bin/bash -euo pipefail -c "cd /; $2"
}
daemon() {  # daemon HOST NAME USER COMMAND [OPTION...]: run it under the systemd of the host
  local host=$1 name=$2 user=$3 command=$4
  shift 4
  on "$host" "systemd-run --quiet --unit=$name --uid=$user --setenv=HADOOP_CONF_DIR=/etc/hadoop \
    --setenv=SPARK_CONF_DIR=/etc/spark --setenv=SPARK_LOCAL_IP=${address[$host]} --setenv=JAVA_HOME=/usr \
    --setenv=PYTHONPATH=/opt/spark:/opt/retail-jobs:/opt/retail-producer:/opt/retail-dashboard $* -- $command" 2>&1
}
answers() { timeout 180 bash -c "until (exec 3<>/dev/tcp/$1/$2) 2>/dev/null; do sleep 0.3; done"; }

say "tree"
mkdir -p "$folder"
# shellcheck disable=SC2016 # apt-get fills these in
sources=$(apt-get indextargets --no-release-info --format 'deb $(REPO_URI) $(RELEASE) main' 'Created-By: Packages' |
  grep bookworm | sort -u)
mmdebstrap --quiet --mode=root --variant=minbase --include="$packages" --dpkgopt=force-unsafe-io \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
  --aptopt='APT::Install-Recommends "false"' bookworm "$folder/base" - <<<"$sources" >"$folder/tree.log" 2>&1
for user in hdfs kafka spark retail retail-producer retail-dashboard; do
  chroot "$folder/base" useradd --system --home-dir "/var/lib/$user" --create-home "$user"
done
: >"$folder/base/etc/machine-id"
chroot "$folder/base" systemctl --quiet enable systemd-networkd
chroot "$folder/base" systemctl --quiet disable nginx

say "boot"
ip link add $bridge type bridge
ip address add $net.1/24 dev $bridge
ip link set $bridge up
for host in "${hosts[@]}"; do
  mkdir -p "$folder/$host"/{upper,work,root}
  mount -t overlay overlay -o "lowerdir=$folder/base,upperdir=$folder/$host/upper,workdir=$folder/$host/work" \
    "$folder/$host/root"
  root=$folder/$host/root
  printf '[Match]\nName=host0\n[Network]\nAddress=%s/24\n' "${address[$host]}" >"$root/etc/systemd/network/10-host0.network"
  { echo 127.0.0.1 localhost; for h in "${hosts[@]}"; do echo "${address[$h]} $h"; done; } >"$root/etc/hosts"
  systemd-nspawn --quiet --boot --register=no --keep-unit --console=read-only --directory="$root" --machine="bare-$host" \
    --hostname="$host" --network-bridge=$bridge --resolv-conf=off --link-journal=no </dev/null >"$folder/$host/log" 2>&1 &
  leader[$host]=$!
done
for host in "${hosts[@]}"; do answers "${address[$host]}" 22; done

say "unpack"
unpacking=()
for host in "${hosts[@]}"; do
  for archive in "$archives"/{hadoop,kafka,spark}-*.tar.zst; do
    name=$(basename "$archive"); name=${name%%-*}
    mkdir -p "$folder/$host/root/opt/$name"
    tar --extract --zstd --file "$archive" --directory "$folder/$host/root/opt/$name" --no-same-owner &
    unpacking+=($!)
  done
done
for pid in "${unpacking[@]}"; do wait "$pid"; done
for name in retail-jobs retail-producer retail-dashboard; do
  mkdir -p "$folder/edge1/root/opt/$name"
  tar --extract --zstd --file "$archives/$name"-*.tar.zst --directory "$folder/edge1/root/opt/$name" --no-same-owner
done

say "configure"
for host in "${hosts[@]}"; do
  root=$folder/$host/root
  mkdir -p "$root"/etc/{hadoop,kafka,spark}
  cat >"$root/etc/hadoop/core-site.xml" <<XML
<configuration><property><name>fs.defaultFS</name><value>hdfs://master1:8020</value></property></configuration>
XML
  cat >"$root/etc/hadoop/hdfs-site.xml" <<XML
<configuration><property><name>dfs.replication</name><value>2</value></property>
<property><name>dfs.namenode.name.dir</name><value>/var/lib/hdfs/name</value></property>
<property><name>dfs.datanode.data.dir</name><value>/var/lib/hdfs/data</value></property>
<property><name>dfs.namenode.safemode.extension</name><value>1000</value></property></configuration>
XML
  cat >"$root/etc/spark/spark-defaults.conf" <<CONF
spark.master spark://master1:7077
spark.eventLog.enabled true
spark.eventLog.dir /spark-events
spark.history.fs.logDirectory /spark-events
spark.history.ui.port 18081
spark.master.rest.enabled false
spark.driver.host $host
spark.driver.memory 512m
spark.executor.memory 512m
spark.cores.max 2
spark.pyspark.python /usr/bin/python3
spark.executorEnv.PYTHONPATH /opt/spark:/opt/retail-jobs
CONF
done
id=1
for host in master1 worker1 worker2; do
  roles=broker listeners=PLAINTEXT://$host:9092
  if [[ $host == master1 ]]; then roles+=,controller listeners+=,CONTROLLER://$host:9093; fi
  cat >"$folder/$host/root/etc/kafka/server.properties" <<CONF
process.roles=$roles
node.id=$id
controller.quorum.voters=1@master1:9093
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
listeners=$listeners
log.dirs=/var/lib/kafka/data
offsets.topic.num.partitions=3
CONF
  id=$((id + 1))
done

say "format"
hadoop="/usr/bin/java -cp '/etc/hadoop:/opt/hadoop:/opt/hadoop/lib/*' -XX:+UseSerialGC"
kafka="/usr/bin/java -cp '/opt/kafka/libs/*' -XX:+UseSerialGC"
on master1 "runuser -u hdfs -- $hadoop org.apache.hadoop.hdfs.server.namenode.NameNode -format -nonInteractive" \
  >"$folder/format.log" 2>&1
for host in master1 worker1 worker2; do
  on $host "runuser -u kafka -- $kafka kafka.tools.StorageTool format -t c2hvcGZsb29yLWJhcmUtMQ -c /etc/kafka/server.properties" \
    >>"$folder/format.log" 2>&1
done

say "start"
daemon master1 hdfs-namenode hdfs "$hadoop -Xmx256m org.apache.hadoop.hdfs.server.namenode.NameNode"
for host in worker1 worker2; do
  daemon $host hdfs-datanode hdfs "$hadoop -Xmx192m org.apache.hadoop.hdfs.server.datanode.DataNode"
done
for host in master1 worker1 worker2; do
  daemon $host kafka kafka "$kafka -Xmx320m kafka.Kafka /etc/kafka/server.properties"
done
spark=/opt/spark/pyspark/bin/spark-class
daemon master1 spark-master spark "$spark org.apache.spark.deploy.master.Master --host master1"
for host in worker1 worker2; do
  daemon $host spark-worker spark \
    "$spark org.apache.spark.deploy.worker.Worker --host $host --cores 2 --memory 1200m spark://master1:7077" \
    "--setenv=SPARK_WORKER_DIR=/var/lib/spark/work"
done

say "wait until ready"
for port in 8020 9092 8080; do answers "${address[master1]}" $port; done
for host in worker1 worker2; do for port in 9866 9092 8081; do answers "${address[$host]}" $port; done; done
fs="$hadoop org.apache.hadoop.fs.FsShell"
on master1 "as='runuser -u hdfs --'; \$as $fs -mkdir -p /data/input /data/output/analysis_parquet /spark-events /tmp
  \$as $fs -chmod 1777 /spark-events /tmp; \$as $fs -chown -R retail /data
  \$as $hadoop org.apache.hadoop.hdfs.tools.DFSAdmin -allowSnapshot /data/output/analysis_parquet" >>"$folder/format.log" 2>&1
daemon master1 spark-history-server spark "$spark org.apache.spark.deploy.history.HistoryServer"
topics="$kafka org.apache.kafka.tools.TopicCommand --bootstrap-server master1:9092 --create --partitions 3 --replication-factor 3"
on master1 "$topics --topic sales; $topics --topic product_revenue --config cleanup.policy=compact" >>"$folder/format.log" 2>&1

say "pipeline"
mkdir -p "$folder/edge1/root/var/lib/retail/input"
cp "$input"/*.csv "$folder/edge1/root/var/lib/retail/input"
on edge1 "chown -R retail: /var/lib/retail && runuser -u retail -- $fs -put /var/lib/retail/input/*.csv /data/input/" 2>>"$folder/format.log"
brokers=--setenv=KAFKA_BOOTSTRAP_SERVERS=master1:9092,worker1:9092,worker2:9092
submit="/opt/spark/pyspark/bin/spark-submit"
daemon edge1 retail-streaming retail "$submit /opt/retail-jobs/retail_jobs/streaming.py" "$brokers"
daemon edge1 retail-producer retail-producer "/usr/bin/python3 -m retail_producer" \
  "$brokers --setenv=INPUT_PATH=/var/lib/retail/input --setenv=LOOP=true"
daemon edge1 retail-dashboard retail-dashboard "/usr/bin/python3 -m gunicorn --bind 0.0.0.0:5000 retail_webapp:create_app()" "$brokers"
daemon edge1 retail-batch retail "$submit /opt/retail-jobs/retail_jobs/batch.py" \
  "--setenv=CSV_PATH=/var/lib/retail/output/analysis_csv --wait --working-directory=/var/lib/retail"
answers "${address[edge1]}" 5000
answers "${address[master1]}" 18081
say "ready"
