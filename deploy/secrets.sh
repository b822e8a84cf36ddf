#!/bin/sh
# Makes the secrets of docker-compose.yml in deploy/secrets: random passwords, and the files that hold
# them in the form that each program reads. What is there is kept, so that a second run changes
# nothing; delete the folder, and the volumes, to begin anew.
#
#   deploy/secrets.sh                    MariaDB and one Redis
#   deploy/secrets.sh mysql              the profile mysql8 instead of MariaDB
#   deploy/secrets.sh mariadb cluster    the profile redis-cluster instead of one Redis
set -eu

database=${1:-mariadb}
redis=${2:-single}
case $database in mariadb | mysql) ;; *)
    echo "unknown database $database; known: mariadb, mysql" >&2
    exit 2
    ;;
esac
case $redis in
single) redis_url='redis://:%s@redis:6379/' ;;
cluster) redis_url='redis-cluster://:%s@redis-1:6379,redis-2:6379,redis-3:6379' ;;
*)
    echo "unknown Redis $redis; known: single, cluster" >&2
    exit 2
    ;;
esac

folder=$(dirname "$0")/secrets
# The folder keeps other users of this machine out. The files themselves can be read by all, because
# compose mounts them as they are, and no role runs as the user who made them.
umask 077
mkdir -p "$folder"
umask 022
cd "$folder"

# 32 random bytes as 64 hexadecimal digits: nothing in them needs an escape in a URL.
secret() {
    [ -s "$1" ] || head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n' >"$1"
    cat "$1"
}

secret database_root_password >/dev/null
secret jwt_key >/dev/null
secret admin_password >/dev/null
secret grafana_password >/dev/null
database_password=$(secret database_password)
redis_password=$(secret redis_password)
rabbitmq_password=$(secret rabbitmq_password)

cat >redis.conf <<EOF
requirepass $redis_password
masterauth $redis_password
EOF

cat >rabbitmq.conf <<EOF
default_vhost = seckill
default_user = seckill
default_pass = $rabbitmq_password
EOF

# What every role reads first, by CONFIG_PATH: the addresses that hold passwords.
cat >seckill.toml <<EOF
[database]
url = "mysql://seckill:$database_password@$database:3306/seckill"

[redis]
url = "$(printf "$redis_url" "$redis_password")"

[mq]
url = "amqp://seckill:$rabbitmq_password@rabbitmq:5672/seckill"
EOF
