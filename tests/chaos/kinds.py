"""Every kind of fault, in the order that a seed draws from."""

from tests.chaos.faults import (
    ControllerAndReplicaKilled,
    ControllerKilled,
    DriverKilled,
    Fault,
    KilledAtPoint,
    OffsetsMovedBack,
    ReplicaKilled,
    ReplicaStopped,
    Scaled,
    StoppedAtPoint,
)
from tests.chaos.outages import (
    BrokerPaused,
    BrokerRestarted,
    DiskFull,
    DiskSlow,
    KilledMeanwhile,
    RedisFull,
    RedisReadOnly,
    RedisRestarted,
    RedisSlow,
    RetentionOvertook,
)

EVERY_KIND: tuple[type[Fault], ...] = (
    ReplicaKilled,
    ReplicaStopped,
    KilledAtPoint,
    StoppedAtPoint,
    ControllerKilled,
    ControllerAndReplicaKilled,
    DriverKilled,
    BrokerRestarted,
    BrokerPaused,
    RedisRestarted,
    RedisFull,
    RedisReadOnly,
    RedisSlow,
    DiskFull,
    DiskSlow,
    KilledMeanwhile,
    OffsetsMovedBack,
    RetentionOvertook,
    Scaled,
)
