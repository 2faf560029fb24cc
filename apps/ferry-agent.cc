// The program on the instance; see src/agent/main.cc.
#include "agent/client.h"

int main(int argc, char** argv) { return ferry::agent::agent_main(argc, argv); }
