#!/bin/sh
# Make the images undertow-test-kafka and undertow-test-redis from the packages of `undertow[local]`, where no image can be
# pulled. Needs a Docker engine and, as $PYTHON (default: python), an interpreter that has the package. Run it from the
# repository's root; then run the tests with the variables that it prints at its end.
set -eu

python=${PYTHON:-python}
tag=${TAG:-local}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Copy a program and the shared libraries it needs.
add() { # root program destination
    install -D -m 755 "$2" "$1$3"
    ldd "$2" | awk '$2 == "=>" && $3 ~ /^\// { print $3 } $1 ~ /^\// { print $1 }' | while read -r library; do
        install -D -m 755 "$(readlink -f "$library")" "$1$library"
    done
}

skeleton() { # root
    mkdir -p "$1/tmp" "$1/etc"
    chmod 1777 "$1/tmp"
    echo 'root:x:0:0:root:/:/bin/sh' >"$1/etc/passwd"
}

# Redis --------------------------------------------------------------------------------------------------------------
redis=$work/redis
skeleton "$redis"
add "$redis" "$("$python" -c 'from undertow.devstack.redis import executable; print(executable())')" /bin/redis-server
tar -C "$redis" -c . | docker import \
    --change 'EXPOSE 6379' \
    --change 'CMD ["/bin/redis-server", "--bind", "0.0.0.0", "--protected-mode", "no", "--save", ""]' \
    - "undertow-test-redis:$tag"

# Kafka: takes its configuration as apache/kafka does, KAFKA_NODE_ID for node.id and so on ------------------------------
kafka=$work/kafka
skeleton "$kafka"
java=$("$python" -c 'from undertow.devstack.jars import java; print(java())')
mkdir -p "$kafka/opt"
cp -RL "$(dirname "$(dirname "$java")")" "$kafka/opt/java"
cp -RL "$("$python" -c 'from undertow.devstack.jars import kafka_jars; print(kafka_jars())')" "$kafka/opt/kafka"
add "$kafka" "$java" /opt/java/bin/java
add "$kafka" "$(dirname "$(dirname "$java")")/lib/server/libjvm.so" /opt/java/lib/server/libjvm.so
for program in sh env sed tr cut; do
    add "$kafka" "$(readlink -f "$(command -v "$program")")" "/bin/$program"
done
cat >"$kafka/start" <<'START'
#!/bin/sh
set -eu
PATH=/bin:/opt/java/bin
config=/tmp/server.properties
env | sed -n 's/^KAFKA_//p' | while IFS='=' read -r name value; do
    printf '%s=%s\n' "$(printf '%s' "$name" | tr 'A-Z_' 'a-z.')" "$value"
done >"$config"
cluster=$(tr -d '-' </proc/sys/kernel/random/uuid | cut -c1-21)A # base64url of 16 bytes: 22 characters, the last one even
java -XX:TieredStopAtLevel=1 -cp '/opt/kafka/*' kafka.tools.StorageTool format -t "$cluster" -c "$config"
exec java -Xms64m -Xmx512m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp '/opt/kafka/*' kafka.Kafka "$config"
START
chmod 755 "$kafka/start"
tar -C "$kafka" -c . | docker import --change 'CMD ["/start"]' - "undertow-test-kafka:$tag"

# Where no image can be pulled, that of testcontainers' reaper cannot either.
echo "TESTCONTAINERS_RYUK_DISABLED=true UNDERTOW_TEST_KAFKA_IMAGE=undertow-test-kafka:$tag UNDERTOW_TEST_REDIS_IMAGE=undertow-test-redis:$tag"
