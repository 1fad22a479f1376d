#!/usr/bin/env bash
# A sweep on nodes of A100s that Slurm allots. With the virtual environment active, in a folder that the nodes share:
#   sbatch --nodes=4 configs/deploy/slurm.sh configs/recover.yaml cluster=a100 --name recover
#   scancel --batch --signal=TERM JOB                               # end it cleanly, as the time limit does
#   sbatch --nodes=4 configs/deploy/slurm.sh --resume recover       # go on
# Options of Slurm come before the script, words of `python -m sweep.launch` after it; MLFLOW_TRACKING_URI is handed on.
#SBATCH --job-name=sweep
#SBATCH --output=sweep-%j.log
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=64
#SBATCH --gpus-per-node=8
#SBATCH --time=24:00:00
#SBATCH --signal=B:TERM@300
# --signal: five minutes before the time limit, Slurm asks this script to end, which asks the sweep.
set -euo pipefail

PATIENCE=600   # seconds for all nodes to join

# Nobody else on these nodes may use the job's Ray; sweeps of one user are kept apart by their ports.
RAY_AUTH_TOKEN=$(python -c 'import secrets; print(secrets.token_hex(32))')
RAY_ADDRESS=$(hostname -I | cut -d' ' -f1):$((20000 + SLURM_JOB_ID % 10000))
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN RAY_ADDRESS
export RAY_USAGE_STATS_ENABLED=0

node() {   # OPTIONS...: run a node of Ray with the cores of this job until it is ended
    exec ray start "$@" --num-cpus="$SLURM_CPUS_PER_TASK" --block
}
export -f node

joined() {   # succeed once all nodes of the job have joined
    python -c 'import os, ray; ray.init(log_to_driver=False, logging_level="ERROR")
raise SystemExit(sum(node["Alive"] for node in ray.nodes()) < int(os.environ["SLURM_JOB_NUM_NODES"]))' 2>/dev/null
}

trap 'exit 143' TERM
trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT

node --head --node-ip-address="${RAY_ADDRESS%:*}" --port="${RAY_ADDRESS##*:}" --include-dashboard=false &
if ((SLURM_JOB_NUM_NODES > 1)); then
    srun --nodes=$((SLURM_JOB_NUM_NODES - 1)) --ntasks=$((SLURM_JOB_NUM_NODES - 1)) --exclude="$SLURMD_NODENAME" \
        --cpus-per-task="$SLURM_CPUS_PER_TASK" --kill-on-bad-exit=0 bash -c "node --address=$RAY_ADDRESS" &
fi
until joined; do
    ((SECONDS < PATIENCE)) || { echo "error: not all of $SLURM_JOB_NODELIST joined Ray within $PATIENCE s" >&2; exit 1; }
    sleep 2
done

python -m sweep.launch "$@" &
sweep=$!
trap 'kill -TERM $sweep' TERM
# The first wait ends at a signal too, the second when the sweep is over.
code=0
wait $sweep || code=$?
if kill -0 $sweep 2>/dev/null; then
    code=0
    wait $sweep || code=$?
fi
exit $code
