#!/bin/bash
# What `make lab` does to hosts of the profile `lab` that were just made, as one would type it: at once what can be at once,
# nothing checked, nothing that could be done a second time. bench/deploy.py measures the deployment against it.
#
# Usage: bare_deploy.sh SSH_CONFIG ARCHIVES SETTINGS INPUT RESULT
#   ARCHIVES       folder with one archive of each product
#   SETTINGS       folder with <host>.tar: the host's files below /etc and /usr/local, units included
#   INPUT, RESULT  folder of the CSVs; file that takes the batch's CSV
set -euo pipefail
ssh_config=$1 archives=$2 settings=$3 input=$4 result=$5
hosts=(master1 worker1 worker2 edge1) brokers=(master1 worker1 worker2)

step() { printf '%4d s  %s\n' $SECONDS "$1"; }
on() { ssh -F "$ssh_config" "$1" "sudo bash -euo pipefail -c ${2@Q}"; } # on HOST COMMANDS, as root
unpack() { on "$1" "tar --extract --zstd --no-same-owner --directory=/opt --one-top-level=$2" <"$archives/$2"-*.tar.zst; }
join() { while [[ -n $(jobs -p) ]]; do wait -n; done; } # ends the script when one of them failed

step "users and settings"
for host in "${hosts[@]}"; do
  on "$host" "for user in hdfs kafka spark retail retail-producer retail-dashboard; do
      useradd --system --home-dir /var/lib/\$user --shell /usr/sbin/nologin \$user
      install --directory --owner=\$user --group=\$user /var/lib/\$user
    done
    tar --extract --directory=/
    systemctl daemon-reload
    systemctl restart systemd-journald systemd-sysctl" <"$settings/$host.tar" &
done
join

step "unpack"
for host in "${hosts[@]}"; do
  for product in hadoop kafka spark; do unpack "$host" $product & done
done
for product in retail-jobs retail-producer retail-dashboard; do unpack edge1 $product & done
tar --create --directory="$input" . | on edge1 "cd /var/lib/retail; tar --extract --one-top-level=input --no-same-owner
  mkdir output; chown --recursive retail: ." &
join

step "format and start"
on master1 "runuser -u hdfs -- hdfs namenode -format -nonInteractive; systemctl start hdfs-namenode" &
for host in worker1 worker2; do on $host "systemctl start hdfs-datanode spark-worker" & done
for host in "${brokers[@]}"; do
  voter=; if [[ $host == master1 ]]; then voter=--standalone; fi
  on "$host" "runuser -u kafka -- kafka-storage format $voter --cluster-id=c2hvcGZsb29yLWxhYi0wMQ --config=/etc/kafka/server.properties
    systemctl start kafka" &
done
on master1 "systemctl start spark-master" &
join

step "folders and topics"
on master1 "hdfs='runuser -u hdfs -- hdfs'
  \$hdfs dfs -mkdir -p /data/input /data/output/analysis_parquet /spark-events /tmp
  \$hdfs dfs -chown -R retail:retail /data
  \$hdfs dfs -chown spark:spark /spark-events
  \$hdfs dfs -chmod 1777 /spark-events /tmp
  \$hdfs dfsadmin -allowSnapshot /data/output/analysis_parquet" &
topic="kafka-topics --bootstrap-server master1:9092 --create --partitions 3 --replication-factor 3 --topic"
on master1 "$topic sales --config message.timestamp.type=LogAppendTime --config retention.ms=604800000" &
on worker1 "$topic product_revenue --config cleanup.policy=compact,delete --config retention.ms=86400000 \
  --config segment.ms=3600000" &
join

step "pipeline"
on master1 "systemctl start spark-history-server" &
on edge1 "systemctl start retail-streaming retail-producer retail-dashboard nginx retail-batch.timer" &
on edge1 "runuser -u retail -- hdfs dfs -put /var/lib/retail/input/*.csv /data/input; systemctl start retail-batch
  cat /var/lib/retail/output/analysis_csv/daily_revenue.csv" >"$result" &
join
step "done"
