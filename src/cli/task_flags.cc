// The flags that a task has on the command line. What becomes of them is in task_options.cc.
#include "cli/task_options.h"

namespace ferry::cli {

void TaskOptions::add_to(CLI::App& command) {
  command
      .add_option(
          "task", path,
          "A task file, a folder that holds task.yaml (or ferry.yaml), a script or notebook, or - for standard input")
      ->type_name("PATH");
  command.add_option("-n,--name", name, "Name of the task; runs are called NAME-xyz");
  command.add_option(
      "--infra", infra,
      "Where to train: aws[/region[/zone]], ssh/HOST (a machine you have), or rehearsal (this computer)");
  command.add_option("-t,--instance-type", instance_type, "Rent exactly this type, e.g. g5.xlarge");
  command.add_option("--gpus", gpus, "GPUs, e.g. A10G or A100:8");
  command.add_flag("--nearest", nearest,
                   "Take the nearest where AWS does not have the GPUs, has them no more, or not in that number");
  command.add_option("--cpus", cpus, "vCPUs, e.g. 4 or 4+");
  command.add_option("--memory", memory, "Memory in GiB, e.g. 16 or 16+");
  command.add_option("--disk", disk, "Size of the root disk in GiB (default: 100)");
  command.add_option(
      "--image", image,
      "What to boot: ami-…, pytorch[-2.11], base, a name that AWS gives an image; or docker:IMAGE, a container "
      "to train in");
  command.add_option("--region", region, "Rent in this region only; '*' for any");
  auto* spot_flag = command.add_flag("--spot", spot, "Spot machines: cheaper, and AWS may take them back");
  command.add_flag("--on-demand", on_demand, "No spot machines, whatever the task says")->excludes(spot_flag);
  command.add_option(
      "--store", store,
      "Where the machine itself stores outputs and log while it trains: s3://BUCKET[/PREFIX], or none; it "
      "ends itself when all are there");
  command.add_option("--recover", recover,
                     "Where the machine is lost: aws starts the next one by itself, while this computer is away (needs "
                     "a store in S3); "
                     "or ferry does");
  command.add_option("--budget", budget, "Most the run may cost, in dollars: time is cut to fit");
  command.add_option("--max-hourly-cost", max_hourly_cost, "Most an hour of the machine may cost, in dollars");
  command.add_option("-w,--workdir", workdir, "Folder to send (default: the task's own, or this one)");
  command.add_option("-e,--env", envs, "KEY=VALUE, or KEY to take it from this environment; may be repeated")
      ->type_name("KEY[=VALUE]")
      ->allow_extra_args(false);
  command
      .add_option("--env-file", env_files,
                  "File with a KEY=VALUE in each line, as docker and dotenv read them; --env wins; may be "
                  "repeated")
      ->type_name("FILE")
      ->allow_extra_args(false);
  command.add_option("--secret", secrets, "KEY, taken from this environment; never stored or shown; may be repeated")
      ->type_name("KEY")
      ->allow_extra_args(false);
  command
      .add_option("--secrets-file", secrets_files,
                  "File like that of --env-file whose values are secrets: never stored or shown; may be repeated")
      ->type_name("FILE")
      ->allow_extra_args(false);
  command
      .add_option("-l,--label", labels,
                  "KEY=VALUE for you to find the run by (ps, cancel, down … --label), and a tag of its machine; may be "
                  "repeated")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  command.add_option("--setup", setup, "Shell commands to run before the training");
  command.add_option("-o,--output", outputs, "File, folder or glob to bring home (default: outputs/); may be repeated")
      ->type_name("GLOB")
      ->allow_extra_args(false);
  command
      .add_option(
          "-v,--volume", volumes,
          "SRC:DST[:ro|:rw]: a file or folder of this computer, s3://BUCKET[/PATH] or a file's https://… to be at DST "
          "on the machine (below the workdir, ~/… or /…); may be repeated. With rw what the training writes there "
          "goes back: of a bucket into it (mounted, or when the training ends), of this computer's files beside the "
          "outputs "
          "(SRC itself is never changed)")
      ->type_name("SRC:DST")
      ->allow_extra_args(false);
  command.add_option("--max-duration,--timeout", max_duration,
                     "Longest the training may take, e.g. 90m or 2h (default: 24h)");
  command
      .add_option("--ends", ends,
                  "What becomes of the machine when the run is over: terminate (default), or stop: its disk stays, and "
                  "costs until ferry down RUN")
      ->type_name("terminate|stop");
  command.add_option("--idle", idle,
                     "End a training that does nothing for so long, e.g. 20m: no output, CPU and GPUs quiet (default: "
                     "never)");
  command.add_option("--duration", duration, "How long it should take, for the estimate, e.g. 40m");
  constexpr const char* account = "In your AWS account";
  command.add_option("--subnet", subnets, "Subnet to rent in (default VPC otherwise); may be repeated")
      ->type_name("SUBNET")
      ->allow_extra_args(false)
      ->group(account);
  command.add_flag("--private", private_address, "No public address: ssh goes to the private one")->group(account);
  const auto add = [&](const char* flag, const char* field, const char* type, const char* meaning) {
    command.add_option(flag, aws[field], meaning)->type_name(type)->group(account);
  };
  add("--ssh-proxy", "ssh_proxy", "PROXY",
      "How ssh gets there: a jump host, a ProxyCommand, or ssm (AWS's session plugin)");
  add("--ssh-from", "ssh_from", "CIDR", "Open port 22 for these addresses instead of yours");
  add("--key-name", "key_name", "NAME", "Key pair of your account (a new one for each run otherwise)");
  add("--key-file", "key_file", "FILE", "Private key to use, or the private half of --key-name");
  add("--security-group", "security_group_id", "GROUP", "Security group to use as it is");
  add("--login-user", "login_user", "USER", "User to log in as, where your image has an unusual one");
  add("--placement-group", "placement_group", "NAME", "Placement group to rent in");
  add("--capacity-reservation", "capacity_reservation_id", "ID", "Capacity reservation or block to use");
  add("--instance-profile", "instance_profile", "NAME", "Role that the machine itself has");
}

}  // namespace ferry::cli
